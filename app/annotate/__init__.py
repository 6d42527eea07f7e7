"""The Annotate page: one row of the queue at a time."""
