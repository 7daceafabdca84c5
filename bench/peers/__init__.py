"""Comparison of this library with its peers: `python -m bench.peers`. See bench/README.md."""

# The command that installs missing peers.
INSTALL = "pip install '.[bench]'"
