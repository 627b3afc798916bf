"""Names of the tensors in files of the first authors, CompVis' and Stability's.

There levels of the decoder are counted from the picture, and the attention is
made of 1 x 1 convolutions.
"""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

_SIGN = "encoder.down.0.block.0.norm1.weight"
_PREFIX = "first_stage_model."
_PARTS = (
  (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
  (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
  (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
  (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
  (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
  (r"\.norm_out\.", ".conv_norm_out."),
  (r"\.nin_shortcut\.", ".conv_shortcut."),
  (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
  (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
)


def is_original(source):
  """Whether tensors have those names, alone or within a whole pipeline."""
  return bool({_SIGN, _PREFIX + _SIGN} & set(source.names))


def renamed_original(source):
  """The same Source with the names and shapes of diffusers."""
  if _SIGN not in source.names:
    source = source.under(_PREFIX)
  up = [re.match(r"decoder\.up\.(\d+)\.", name) for name in source.names]
  last = max((int(found[1]) for found in up if found), default=0)

  def new(name):
    for pattern, replacement in _PARTS:
      name = re.sub(pattern, replacement, name)

    def level(found):
      part = {"block": "resnets", "upsample": "upsamplers.0"}[found[2]]
      return f"decoder.up_blocks.{last - int(found[1])}.{part}."

    return re.sub(r"^decoder\.up\.(\d+)\.(block|upsample)\.", level, name)

  source = source.renamed({name: new(name) for name in source.names})
  return dataclasses.replace(source, read=_Flat(source.read))


class _Flat(Mapping):
  """Tensors, those of attention as matrices."""

  def __init__(self, read):
    self._read = read

  def __getitem__(self, name):
    array = np.asarray(self._read[name])
    flat = ".attentions." in name and array.ndim == 4
    return array.reshape(array.shape[:2]) if flat else array

  def __iter__(self):
    return iter(self._read)

  def __len__(self):
    return len(self._read)
