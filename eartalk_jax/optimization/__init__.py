"""What a gradient does to parameters: rates, AdamW, Muon, width transfer."""
