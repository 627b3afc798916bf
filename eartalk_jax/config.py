"""From a config file's dictionary to frozen dataclasses, strictly.

An unknown key, a missing one or a value of another type is a UserError that
names the path of the key; nothing is ignored and nothing is converted except
int -> float and list -> tuple.
"""

import dataclasses
import difflib
import types
import typing

from eartalk_jax.errors import UserError, one_line

# No count, size, seed or rate of ours comes near; all of them are exact.
_MOST = 1e15
_LONGEST = 10_000


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
        f"config: unknown key {_join(path, name)}; {nearest(str(name), fields)}"
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
  except (ValueError, ArithmeticError) as error:
    raise UserError(f"config: {path or cls.__name__}: {error}") from error


def check_range(config, low, high, *names):
  """Raises ValueError if a field is outside of `low` to `high`, or is NaN."""
  for name in names:
    value = getattr(config, name)
    if not low <= value <= high:
      raise ValueError(f"{name} is {value}; give {low:g} to {high:g}")


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
    if not isinstance(value, str) or value not in arguments:
      known = ", ".join(map(str, arguments))
      raise UserError(f"config: {path} is {_shown(value)}; known: {known}")
    return value
  if origin is tuple:
    return _convert_tuple(arguments, value, path)
  _check_plain(value, path)
  if hint is float and type(value) is int:
    return float(value)
  kind = origin or hint
  # bool is an int to Python, but `depth=True` is a mistake.
  wrong_bool = isinstance(value, bool) and kind is not bool
  if wrong_bool or not isinstance(value, kind):
    raise UserError(
      f"config: {path} must be {kind.__name__}, not {_shown(value)}"
    )
  return value


def _check_plain(value, path):
  """Raises UserError if a value is none that anybody can mean."""
  if isinstance(value, str) and "\0" in value:
    raise UserError(f"config: {path} is {_shown(value)}, with a NUL in it")
  if isinstance(value, (int, float)) and not -_MOST < value < _MOST:
    raise UserError(
      f"config: {path} is {_shown(value)}; give a number that is finite and "
      f"below {_MOST:.0e}"
    )


def _shown(value):
  """A value for a message, however long it is."""
  try:
    return one_line(repr(value), most=60)
  except ValueError:  # an integer of thousands of digits
    return "a very long number"


def _of_kind(classes, value, path):
  """The dataclass whose `kind` the value names."""
  if type(value) in classes:
    return type(value)
  known = {
    typing.get_args(typing.get_type_hints(cls)["kind"])[0]: cls
    for cls in classes
  }
  kind = value.get("kind") if hasattr(value, "get") else None
  if not isinstance(kind, str) or kind not in known:
    raise UserError(
      f"config: {_join(path, 'kind')} is {_shown(kind)}; "
      f"{nearest(_shown(kind), known)}"
    )
  return known[kind]


def _convert_tuple(arguments, value, path):
  if not isinstance(value, (tuple, list)):
    raise UserError(f"config: {path} must be a list, not {_shown(value)}")
  if len(value) > _LONGEST:
    raise UserError(f"config: {path} has {len(value)} entries: too many")
  if arguments[-1] is Ellipsis:
    arguments = arguments[:1] * len(value)
  if len(arguments) != len(value):
    raise UserError(f"config: {path} must have {len(arguments)} entries")
  return tuple(
    _convert(hint, item, f"{path}.{index}")
    for index, (hint, item) in enumerate(zip(arguments, value, strict=True))
  )
