"""What a run says of itself: events, metrics, time, FLOP/s, profiles."""
