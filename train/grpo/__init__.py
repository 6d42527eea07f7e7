"""PIR-GRPO: configuration, rollouts, rewards, loss, difficulty and the trainer."""
