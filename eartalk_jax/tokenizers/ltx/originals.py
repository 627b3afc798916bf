"""Names of the tensors in the single files of LTX-Video's authors.

There all parts of the encoder, and of the decoder, are in one list each: blocks
of residual blocks, ways down or up, and residual blocks that change the width.
"""

import re

_PREFIX = "vae."
_MEAN, _STD = (
  f"per_channel_statistics.{name}-of-means" for name in ("mean", "std")
)
_SIGNS = {_MEAN, "encoder.conv_in.conv.weight"}
# Theirs, and as they are called here.
_PARTS = (
  (r"\.resnets\.", ".res_blocks."),
  (r"\.norm3\.", ".norm3.norm."),
  (r"\.conv_shortcut\.conv\.", ".conv_shortcut."),
  (r"^decoder\.time_embedder\.", "decoder.last_time_embedder."),
  (r"^decoder\.scale_shift_table$", "decoder.last_scale_shift_table"),
  (r"^latents_mean$", _MEAN),
  (r"^latents_std$", _STD),
)


def is_original(source):
  """Whether tensors have those names, alone or within a whole pipeline."""
  names = set(source.names)
  return any(
    {prefix + sign for sign in _SIGNS} <= names for prefix in ("", _PREFIX)
  )


def alone(source):
  """The same without the rest of the pipeline and the prefix."""
  if _PREFIX + _MEAN in source.names:
    return source.under(_PREFIX)
  return source


def of_diffusers(source, config, names):
  """The same by the names of diffusers.

  Statistics that nobody uses are left out; names that are not known stay.

  Args:
    source: Source, `alone`.
    config: Config.
    names: of diffusers' tensors.
  """
  now = {original(name, config): name for name in names}
  return source.renamed(
    {
      name: now.get(name, name)
      for name in source.names
      if name in now or not name.startswith("per_channel_statistics.")
    }
  )


def original(name, config):
  """What a tensor of diffusers is called there."""
  for part, place in _places(config).items():
    if name.startswith(part + "."):
      name = name.replace(part, place, 1)
      break
  for pattern, replacement in _PARTS:
    name = re.sub(pattern, replacement, name)
  return name


def _places(config):
  """{part of diffusers: its place in the list}, the narrower parts first."""
  down, up = [], ["mid_block"]
  for index, block in enumerate(config.downs):
    name = f"down_blocks.{index}"
    down.append(name)
    if block.way:
      down.append(f"{name}.downsamplers.0")
    if block.before != block.after and not block.rearranged:
      down.append(f"{name}.conv_out")
  down.append("mid_block")
  for index, block in enumerate(config.ups):
    name = f"up_blocks.{index}"
    if block.widens:
      up.append(f"{name}.conv_in")
    if block.doubles:
      up.append(f"{name}.upsamplers.0")
    up.append(name)
  places = {
    f"encoder.{part}": f"encoder.down_blocks.{place}"
    for place, part in enumerate(down)
  } | {
    f"decoder.{part}": f"decoder.up_blocks.{place}"
    for place, part in enumerate(up)
  }
  return dict(sorted(places.items(), key=lambda item: -len(item[0])))
