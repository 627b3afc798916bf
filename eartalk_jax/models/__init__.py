"""The networks: the only Linen code of the project."""
