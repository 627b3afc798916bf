"""The fields of a frames record, as TFDS stores them."""

import numpy as np
import tensorflow_datasets as tfds


def frames_features(settings):
  """Flat dict of name -> tfds feature, for `ingest.Settings`."""
  pictures = (None, settings.size, settings.size, 3)
  fields = {
    "clip_id": tfds.features.Text(),
    "source": tfds.features.Text(),
    "start_frame": tfds.features.Scalar(np.int64),
    "frames": _array(pictures, np.uint8),
    "audio": _array((None,), np.int16),
  }
  for name, size in settings.track_sizes.items():
    fields[f"tracks/{name}"] = _array((None, size), np.float32)
    fields[f"has/{name}"] = tfds.features.Scalar(np.bool_)
  return fields


def _array(shape, dtype):
  return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")
