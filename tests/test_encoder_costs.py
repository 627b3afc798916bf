"""FLOPs and bytes of the published encoders at 512 px.

The figures are those of PyTorch's counter and of the original libraries.
"""

import math

import pytest

from eartalk_jax.scaling.encoders import speech_flops, tokenizer_costs
from eartalk_jax.speech import mel
from eartalk_jax.speech.wav2vec import HUBERT
from eartalk_jax.tokenizers import KINDS

T = 1e12


@pytest.mark.parametrize(
  "kind, name, first, encode, decode, state",
  [
    ("kl", "sd-vae-ft-mse", 1.12, 1.12, 2.51, 0),
    ("wan", "wan2.1", None, 5.27, 8.88, 2.48e9),
    ("ltx", "ltx0.9.0", 0.40, 1.70, None, None),
  ],
)
def test_a_published_tokenizer_costs_what_the_original_does(
  kind, name, first, encode, decode, state
):
  kind = KINDS[kind]
  tokenizer = kind.abstract(kind.PUBLISHED[name])
  found = tokenizer_costs(tokenizer)
  assert found.encode / T == pytest.approx(encode, rel=0.01)
  assert found.encode_per_frame * tokenizer.stride == found.encode
  if first is not None:
    assert found.encode_first / T == pytest.approx(first, rel=0.01)
  if decode is not None:
    assert found.decode / T == pytest.approx(decode, rel=0.01)
    assert found.decode_per_frame * tokenizer.stride == found.decode
  if state is not None:
    assert found.decode_state == pytest.approx(state, rel=0.01)
  latent = 4 * math.prod(tokenizer.latent_shape)
  # Between latents ltx remembers some of them, and no layers.
  if name.startswith("ltx"):
    assert found.decode_state < 10 * latent


def test_a_window_of_speech_costs_what_the_original_does():
  config = HUBERT.PUBLISHED["hubert-large-ls960-ft"]
  per_frame = speech_flops(HUBERT.abstract(config))
  # 304 GFLOP for 8 s, of which the products with all others are the square.
  frames = config.left + config.step + config.right
  whole = 304e9 * frames / 200
  assert per_frame * config.step == pytest.approx(whole, rel=0.1)
  assert speech_flops(mel.named("80")) == 0
