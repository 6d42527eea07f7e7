"""Folders of clips that an administrator offers, and questions to all clips of one."""
