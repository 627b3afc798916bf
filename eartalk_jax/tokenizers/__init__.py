"""Video to latents and back."""
