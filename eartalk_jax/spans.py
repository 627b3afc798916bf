"""The one clock: frames and samples in a second, frames of a latent.

Latent 0 is one frame, every later one `stride` frames: a video tokenizer sees a
first picture alone. With stride 1 latents are frames.

  stride 4    latent  0   1     2     3
              frames  0   1-4   5-8   9-12

A stream begins with its portrait. With a stride of more than one that is
frame 0, and latent 1 the first one that is made.
"""

FPS = 25
SAMPLE_RATE = 16_000
FRAME_SAMPLES = SAMPLE_RATE // FPS


def frame_count(samples):
  """Frames of so many samples: the nearest number."""
  return round(samples / FRAME_SAMPLES)


def latents_of(frames, stride):
  """Whole latents in a clip of so many frames, one at least."""
  return 1 + (frames - 1) // stride


def latents_over(frames, stride):
  """Latents that cover so many frames; the last may reach beyond them."""
  return 1 - (1 - frames) // stride


def frames_of(latent, stride):
  """The frames of a latent, as a slice."""
  return slice(max(latent * stride - stride + 1, 0), latent * stride + 1)


def first_made(stride):
  """Number of the first latent that a stream makes: see above."""
  return int(stride > 1)
