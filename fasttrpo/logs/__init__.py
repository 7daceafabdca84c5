"""The log of a run, and the formats that it is written in."""
