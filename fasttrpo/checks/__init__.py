"""Checks of values from users, with error messages that name the culprit."""
