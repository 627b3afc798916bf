"""The config.json of another library, read strictly."""

import dataclasses

from eartalk_jax.bounds import shown
from eartalk_jax.config import nearest
from eartalk_jax.errors import UserError

# What says nothing about the network.
_ABOUT = (
  "_class_name",
  "_diffusers_version",
  "_name_or_path",
  "architectures",
  "dtype",
  "torch_dtype",
  "transformers_version",
)


def defaults(config, without):
  """{field: default} of a configuration's class, but for some fields."""
  return {
    field.name: field.default
    for field in dataclasses.fields(config)
    if field.name not in without
  }


def settings(source, free, fixed, ignored=()):
  """What a source's config.json says of a network.

  Args:
    source: Source.
    free: {key: its value where the file does not say it}.
    fixed: {key: the values that the network here can have}; a file may leave
      them out.
    ignored: keys that make no difference here.

  Returns:
    {key of `free`: value}.

  Raises:
    UserError: a key that nobody knows, or a value that the network here has
      not.
  """
  known = {*free, *fixed, *ignored, *_ABOUT}
  for key, value in source.config.items():
    if key not in known:
      raise UserError(
        f"{source.where}/config.json: unknown key {key!r}; "
        f"{nearest(key, {*free, *fixed})} If it is of another version of the "
        "model, that is not known here"
      )
    if key in fixed and value not in fixed[key]:
      raise UserError(
        f"{source.where}/config.json: {key} is {shown(value)}, but "
        f"{' or '.join(map(shown, fixed[key]))} alone is known here"
      )
  return {key: source.config.get(key, value) for key, value in free.items()}
