"""Names of the tensors in the first authors' file, Wan2.1_VAE.

There the layers of a way down or up are one list, and those of a residual block
are numbered.
"""

import re

from eartalk_jax.errors import UserError

_SIGN = "decoder.middle.0.residual.0.gamma"
_PARTS = (
  (r"^conv1\.", "quant_conv."),
  (r"^conv2\.", "post_quant_conv."),
  (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
  (r"^(encoder|decoder)\.head\.0\.", r"\1.norm_out."),
  (r"^(encoder|decoder)\.head\.2\.", r"\1.conv_out."),
  (r"\.middle\.0\.", ".mid_block.resnets.0."),
  (r"\.middle\.1\.", ".mid_block.attentions.0."),
  (r"\.middle\.2\.", ".mid_block.resnets.1."),
  (r"\.downsamples\.", ".down_blocks."),
  (r"\.residual\.0\.", ".norm1."),
  (r"\.residual\.2\.", ".conv1."),
  (r"\.residual\.3\.", ".norm2."),
  (r"\.residual\.6\.", ".conv2."),
  (r"\.shortcut\.", ".conv_shortcut."),
)
_UP = re.compile(r"^decoder\.upsamples\.(\d+)\.(resample)?")
_OF_22 = re.compile(r"\.(down|up)samples\.\d+\.(down|up)samples\.")


def is_original(source):
  """Whether tensors have those names."""
  return _SIGN in source.names


def renamed_original(source):
  """The same Source with the names of diffusers.

  Raises:
    UserError: it is the file of Wan 2.2, whose names are others.
  """
  if any(_OF_22.search(name) for name in source.names):
    raise UserError(
      f"{source.where} is the first authors' file of Wan 2.2, which does not "
      "say its configuration or statistics; get the folder `vae` of "
      "Wan2.2-TI2V-5B-Diffusers"
    )
  levels = _levels(source.names)

  def new(name):
    for pattern, replacement in _PARTS:
      name = re.sub(pattern, replacement, name)
    found = _UP.match(name)
    if found:
      prefix = f"decoder.upsamples.{found[1]}."
      name = levels[int(found[1])] + name.removeprefix(prefix)
    return name

  return source.renamed({name: new(name) for name in source.names})


def _levels(names):
  """{number in the decoder's list: prefix}: a way up ends each level."""
  found = [_UP.match(name) for name in names]
  ways = {int(up[1]): bool(up[2]) for up in found if up}
  for up in filter(None, found):
    ways[int(up[1])] |= bool(up[2])
  prefixes, level, block = {}, 0, 0
  for number, way in sorted(ways.items()):
    kind = "upsamplers.0" if way else f"resnets.{block}"
    prefixes[number] = f"decoder.up_blocks.{level}.{kind}."
    level, block = (level + 1, 0) if way else (level, block + 1)
  return prefixes
