"""EARTalking (arXiv 2603.20307): clean past, one frame at a time by a head."""
