"""What commands do, from Python: datasets read, models trained and measured."""
