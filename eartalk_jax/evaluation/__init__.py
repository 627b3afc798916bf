"""What a talker can do, measured on generated pixels."""
