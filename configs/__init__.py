"""Configurations: each file's docstring says how to run it."""
