"""What every page looks like: theme, charts, and what a page is."""
