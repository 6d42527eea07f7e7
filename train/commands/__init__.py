"""One module per command. They import torch when they run, so that `--help` is fast."""
