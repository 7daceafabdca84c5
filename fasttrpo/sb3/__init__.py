"""What else scripts for Stable-Baselines3 use: its calls, parameter names and environments."""
