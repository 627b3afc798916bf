"""What a run keeps of itself, how it is read again, and what proves it."""
