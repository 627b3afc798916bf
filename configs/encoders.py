"""What the encoders of the field make, as a model must have it: said once.

  python -m launch.import_encoder --from Wan2.1-T2V-1.3B-Diffusers/vae \
    --out encoders/wan2.1
  python -m launch.import_encoder --from hubert-large-ls960-ft \
    --out encoders/hubert

`--from` is a folder that was downloaded from where the authors publish, or one
file of theirs. Then `python -m launch.tokenize --tokenizer encoders/wan2.1
--speech encoders/hubert` writes the tokens that a config reads. The numbers of
latents are those of pictures of 512 px.
"""


def wan(c):
  """Wan 2.1: 8 x 8 pixels and four frames are 16 numbers; 256 tokens."""
  c.tokenizer = "encoders/wan2.1"
  c.model.latent_shape = (64, 64, 16)
  c.model.patch, c.model.stride = 4, 4


def ltx(c):
  """LTX-Video 0.9.0: 32 x 32 pixels, eight frames, 128 numbers; 256 tokens."""
  c.tokenizer = "encoders/ltx0.9.0"
  c.model.latent_shape = (16, 16, 128)
  c.model.patch, c.model.stride = 1, 8


def hubert(c):
  """HuBERT-large, one hidden state: 50 vectors of 1024 numbers a second.

  Of hubert-base it would be 768 (--config.model.audio.bins=768).
  """
  c.model.audio.steps, c.model.audio.bins = 2, 1024
  c.model.audio.states = 1
