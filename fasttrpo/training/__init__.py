"""A run: collect, update, record, and again, with callbacks and logs."""
