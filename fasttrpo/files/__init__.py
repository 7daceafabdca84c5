"""What is written and read: models, checkpoints, run folders."""
