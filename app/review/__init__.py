"""The Review page: everybody's answers to one query, and the decision."""
