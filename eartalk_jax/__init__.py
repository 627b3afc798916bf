"""EARTalking in JAX: talking-head video, one latent frame at a time.

Dimension letters used in array names throughout the project:

  B batch (or stream)   T frames              N tokens in a frame
  M condition tokens    P tokens in a block   D width
  H heads               K head width          L layers
  C latent channels     F features            W window, in frames
  h, w latent grid      A audio steps in a video frame
  S audio samples       X, Y picture columns and rows (pictures: ..YX3)
"""
