"""The networks: a talker and its parts, and the probe that judges it."""
