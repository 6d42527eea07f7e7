"""Learning: procedural videos, supervised fine-tuning and PIR-GRPO. Knows no page."""
