"""Ahead-of-time proof: what a compiled program needs and how fast it can be."""
