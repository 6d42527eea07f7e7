"""The browser app: pages, timeline, media, accounts and jobs."""
