"""Whatever environment a user brings, as one stream of rows."""
