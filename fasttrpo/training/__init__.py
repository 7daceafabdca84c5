"""A run: repeats collect, update, record, with callbacks and logs."""
