"""Sink Frame Window Attention: one definition, and forms for every machine."""
