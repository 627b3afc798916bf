"""Compiled programs as text, read: operations, their sizes and groups."""
