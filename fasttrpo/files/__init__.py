"""Reading and writing of models, checkpoints and run folders."""
