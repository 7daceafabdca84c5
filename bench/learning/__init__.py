"""Whole runs: the wall clock of processes that train until a target is reached."""
