"""What is noisy and who sees whom: one room for each way to make video."""
