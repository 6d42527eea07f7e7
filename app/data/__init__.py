"""The Data page: import, export, comparison and history."""
