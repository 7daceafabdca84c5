"""This library beside its peers: `python -m bench.peers`. See bench/README.md."""

# What brings a peer that is missing.
INSTALL = "pip install '.[bench]'"
