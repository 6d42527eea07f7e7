"""What `make` runs: preparing a machine, and refreshing the documented commands."""
