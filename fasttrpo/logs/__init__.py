"""The log of a run, and its formats."""
