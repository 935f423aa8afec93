"""Reproducible comparisons of mcpserve with its peers, run by one command: `python -m benchmarks`."""
