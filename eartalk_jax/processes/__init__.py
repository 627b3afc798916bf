"""Many processes as one run: meeting, agreeing, stopping, standing still."""
