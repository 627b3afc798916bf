"""Tiny token datasets for the tests."""

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.shards import finish_dataset, shard_path, write_shard
from eartalk_jax.speech import describe, open_speech, save_speech
from eartalk_jax.tokenizers.autoencoder import Autoencoder, TokenizerConfig
from eartalk_jax.tokenizers.patches import PatchTokenizer
from eartalk_jax.tokenizers.storing import save_tokenizer

SHAPE = (2, 2, 3)
BINS = 5
SIZES = {"pose": 3, "blink": 1, "emotion": 1}
CATEGORIES = {"emotion": ["neutral", "happy", "sad"]}


def tensor(*shape):
  return tfds.features.Tensor(shape=shape, dtype=np.float32, encoding="bytes")


def features(shape, bins):
  latents = tfds.features.Tensor(
    shape=(None, *shape), dtype=np.float16, encoding="bytes"
  )
  return {
    "clip_id": tfds.features.Text(),
    "latents": latents,
    "features": tensor(None, 4, bins),
    **{f"tracks/{name}": tensor(None, k) for name, k in SIZES.items()},
    **{f"has/{name}": np.bool_ for name in SIZES},
  }


def clip(number, length, shape, bins):
  """Every value tells its frame, so that tests can see what was cut."""
  frames = np.arange(length, dtype=np.float32)
  record = {
    "clip_id": f"clip{number}",
    "latents": np.broadcast_to(
      frames[:, None, None, None], (length, *shape)
    ).astype(np.float16),
    "features": np.broadcast_to(frames[:, None, None], (length, 4, bins)),
  }
  for name, k in SIZES.items():
    record[f"tracks/{name}"] = np.tile(frames[:, None] % 3, (1, k))
    record[f"has/{name}"] = name != "blink" or number % 2 == 0
  record["features"] = np.ascontiguousarray(record["features"])
  return record


def write_tokens(
  directory, lengths=(20,) * 8, shape=SHAPE, bins=BINS, tokenizer="none"
):
  """Writes a dataset of two shards with clips of those lengths."""
  records = [clip(i, n, shape, bins) for i, n in enumerate(lengths)]
  directory.mkdir(parents=True, exist_ok=True)
  spec, speech = features(shape, bins), open_speech(f"mel:{bins}")
  save_speech(directory / "speech", speech)
  half = (len(records) + 1) // 2
  entries = [
    write_shard(shard_path(directory, "tokens", i, 2), spec, part)
    for i, part in enumerate((records[:half], records[half:]))
  ]
  manifest = {
    "kind": "tokens",
    "config": {},
    "shards": entries,
    "categories": CATEGORIES,
    "track_sizes": SIZES,
    "latent_shape": list(shape),
    "stride": 1,
    "speech": describe(speech),
    "tokenizer_fingerprint": tokenizer,
  }
  finish_dataset(directory, spec, manifest)
  return directory


def write_tokenizer(directory, seed=0):
  """An untrained tokenizer of 16-pixel pictures and latents of SHAPE."""
  config = TokenizerConfig(
    size=16,
    patch=8,
    channels=3,
    width=8,
    heads=1,
    encoder_depth=1,
    decoder_depth=1,
  )
  picture_BYX3 = jnp.zeros((1, 16, 16, 3))
  params = Autoencoder(config).init(jax.random.key(seed), picture_BYX3)[
    "params"
  ]
  tokenizer = PatchTokenizer(
    config, params, np.zeros(3, np.float32), np.float32(1)
  )
  save_tokenizer(directory, tokenizer)
  return tokenizer
