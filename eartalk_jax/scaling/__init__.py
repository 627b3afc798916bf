"""What a model costs, from its configuration alone."""
