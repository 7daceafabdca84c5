"""What else a script for Stable-Baselines3 expects: its calls, parameter names and environments."""
