"""The Ground page: a clip and a question, and the model's answer."""
