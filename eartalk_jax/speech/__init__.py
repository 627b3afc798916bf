"""Features of speech for every video frame, whole or as it arrives."""
