"""Grounding a sentence in a video: sampling, allocation, prompt, model, answer. Knows no database, no page, no trainer."""
