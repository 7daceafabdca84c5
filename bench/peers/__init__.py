"""This library beside its peers: `python -m bench.peers`. See bench/README.md."""
