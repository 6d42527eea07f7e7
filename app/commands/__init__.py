"""What `python -m app` does besides serving."""
