"""Small parts that all networks share, and what a mesh changes in them."""
