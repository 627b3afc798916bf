"""Commands: `python -m launch.NAME --help`."""
