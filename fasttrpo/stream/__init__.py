"""Any environment that a user passes, as one stream of rows."""
