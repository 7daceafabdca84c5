"""Wall-clock time of complete processes that train until a target is reached."""
