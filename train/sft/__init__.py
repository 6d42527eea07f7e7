"""Supervised fine-tuning: configuration, packed batches and the trainer."""
