"""What a user may ask of a frame, and what is done where nothing is asked."""
