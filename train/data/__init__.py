"""Rows to learn from: where they are read, how they are encoded, and irrelevant ones that are made."""
