"""Checks of what a user hands in, and words for what is wrong with it."""
