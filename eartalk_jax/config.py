"""From a config file's dictionary to frozen dataclasses, strictly.

An unknown key, a missing one or a value of another type is a UserError that
names the path of the key; nothing is ignored and nothing is converted except
int -> float and list -> tuple.
"""

import dataclasses
import difflib
import math
import types
import typing

from eartalk_jax.errors import UserError


def from_config(cls, mapping, path=""):
  """Builds the frozen dataclass `cls` from a dictionary or a ConfigDict.

  Fields that are dataclasses, or tuples of dataclasses, are built likewise;
  among several dataclasses, `kind` chooses.

  Raises:
    UserError: unknown or missing key, wrong type, or a ValueError of `cls`.
  """
  if isinstance(mapping, cls):
    return mapping
  if not hasattr(mapping, "items"):
    raise UserError(f"config: {path or cls.__name__} must be a dictionary")
  fields = {field.name: field for field in dataclasses.fields(cls)}
  hints = typing.get_type_hints(cls)
  values = {}
  for name, value in mapping.items():
    if name not in fields:
      raise UserError(
        f"config: unknown key {_join(path, name)}; {nearest(name, fields)}"
      )
    values[name] = _convert(hints[name], value, _join(path, name))
  for name, field in fields.items():
    needed = (
      field.default is dataclasses.MISSING
      and field.default_factory is dataclasses.MISSING
    )
    if needed and name not in values:
      raise UserError(f"config: {_join(path, name)} is missing")
  try:
    return cls(**values)
  except ValueError as error:
    raise UserError(f"config: {path or cls.__name__}: {error}") from error


def to_dict(config):
  """The plain dictionaries, lists and scalars of a dataclass or ConfigDict."""
  if dataclasses.is_dataclass(config):
    names = [field.name for field in dataclasses.fields(config)]
    return {name: to_dict(getattr(config, name)) for name in names}
  if hasattr(config, "items"):
    return {name: to_dict(value) for name, value in config.items()}
  if isinstance(config, (tuple, list)):
    return [to_dict(value) for value in config]
  return config


def flatten(mapping, path=""):
  """{"a": {"b": 1}, "c": [2]} -> {"a.b": 1, "c.0": 2}."""
  if isinstance(mapping, (tuple, list)):
    mapping = {str(index): value for index, value in enumerate(mapping)}
  if not isinstance(mapping, dict):
    return {path: mapping}
  flat = {}
  for name, value in mapping.items():
    flat |= flatten(value, _join(path, name))
  return flat


def differences(saved, current, free=()):
  """What differs between two dictionaries: [(dotted key, saved, current)].

  Keys that are equal to an entry of `free`, or lie below one, may differ.
  """
  saved, current = flatten(saved), flatten(current)
  return [
    (key, saved.get(key, "absent"), current.get(key, "absent"))
    for key in dict.fromkeys([*saved, *current])
    if saved.get(key, "absent") != current.get(key, "absent")
    and not any(key == name or key.startswith(name + ".") for name in free)
  ]


def describe(changes):
  """One phrase for the result of `differences`."""
  shown = [f"{key} was {old!r} and is now {new!r}" for key, old, new in changes]
  more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
  return "; ".join(shown[:5]) + more


def nearest(name, names):
  """A hint for a misspelt name: the nearest known one, or all of them."""
  names = sorted(names)
  close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  if close:
    return f"did you mean {close[0]}?"
  return f"known: {', '.join(names) or 'none'}"


def _join(path, name):
  return f"{path}.{name}" if path else str(name)


def _convert(hint, value, path):
  """Checks `value` against a type hint; builds dataclasses and tuples."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if dataclasses.is_dataclass(hint):
    return from_config(hint, value, path)
  if origin in (typing.Union, types.UnionType):
    if value is None and type(None) in arguments:
      return None
    options = [kind for kind in arguments if kind is not type(None)]
    hint = options[0] if len(options) == 1 else _of_kind(options, value, path)
    return _convert(hint, value, path)
  if origin is typing.Literal:
    if value not in arguments:
      raise UserError(f"config: {path} is {value!r}; known: {arguments}")
    return value
  if origin is tuple:
    return _convert_tuple(arguments, value, path)
  if hint is float and type(value) is int:
    try:
      return float(value)
    except OverflowError:
      raise UserError(f"config: {path} is too large a number") from None
  kind = origin or hint
  if not isinstance(kind, type) or kind is object:
    return value
  # bool is an int to Python, but `depth=True` is a mistake.
  wrong_bool = isinstance(value, bool) and kind is not bool
  if wrong_bool or not isinstance(value, kind):
    raise UserError(f"config: {path} must be {kind.__name__}, not {value!r}")
  if kind is float and not math.isfinite(value):
    raise UserError(f"config: {path} must be a finite number, not {value!r}")
  return value


def _of_kind(classes, value, path):
  """The dataclass whose `kind` the value names."""
  if type(value) in classes:
    return type(value)
  known = {
    typing.get_args(typing.get_type_hints(cls)["kind"])[0]: cls
    for cls in classes
  }
  kind = value.get("kind") if hasattr(value, "get") else None
  if kind not in known:
    raise UserError(
      f"config: {_join(path, 'kind')} is {kind!r}; {nearest(str(kind), known)}"
    )
  return known[kind]


def _convert_tuple(arguments, value, path):
  if not isinstance(value, (tuple, list)):
    raise UserError(f"config: {path} must be a list, not {value!r}")
  if not arguments:
    return tuple(value)
  if arguments[-1] is Ellipsis:
    arguments = arguments[:1] * len(value)
  if len(arguments) != len(value):
    raise UserError(f"config: {path} must have {len(arguments)} entries")
  return tuple(
    _convert(hint, item, f"{path}.{index}")
    for index, (hint, item) in enumerate(zip(arguments, value, strict=True))
  )
