"""The Models page: which grounders there are, downloads, which one is served, and which ones visitors may ask."""
