"""The embedded corpus: procedural talking heads with real speech."""
