"""Accounts, sessions, passwords and sign-in."""
