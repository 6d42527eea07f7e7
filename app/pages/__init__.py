"""The pages of the app; each module builds one and holds its handlers."""
