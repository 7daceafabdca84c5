"""For Stable-Baselines3 scripts: its calls, parameter names, distributions and environments."""
