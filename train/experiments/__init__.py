"""Experiments: what the papers claim, asked of shapeworld. Each is one command and leaves its figures as JSON."""
