"""A CSV file that a user, or another program, wrote: read strictly."""

import csv
import io
import pathlib
import stat

from eartalk_jax.errors import UserError

MOST_BYTES = 16 << 20
MOST_ROWS = 2_000  # fits are made of all points times all resamples
_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_table(path, flag, needed, optional):
  """[(line number, {column: text})] of a file with a sound header.

  Args:
    path: the file: UTF-8, with commas.
    flag: the option that named it, for messages.
    needed, optional: names of columns; there may be no others.

  Raises:
    UserError: it cannot be read, or is no such table.
  """
  text = _text(pathlib.Path(path), flag)
  try:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip() for name in next(reader, [])]
    rows = [(reader.line_num, row) for row in reader if any(row)]
  except csv.Error as error:
    raise UserError(f"{path} is not a CSV file: {error}") from None
  _check_header(path, header, needed, optional)
  if not rows:
    raise UserError(f"{path} has no points below its header")
  if len(rows) > MOST_ROWS:
    raise UserError(
      f"{path} has {len(rows)} points, more than {MOST_ROWS}; give one for "
      "each trained run"
    )
  for line, row in rows:
    if len(row) != len(header):
      raise UserError(
        f"{path} line {line}: {len(row)} values for {len(header)} columns"
      )
  return [
    (line, dict(zip(header, map(str.strip, row), strict=True)))
    for line, row in rows
  ]


def _text(path, flag):
  """The content of an ordinary file of a sane size."""
  try:
    if not stat.S_ISREG(path.stat().st_mode):
      raise UserError(f"{flag} {path}: is no ordinary file; give a CSV file")
    with open(path, "rb") as file:
      content = file.read(MOST_BYTES + 1)
  except OSError as error:
    raise UserError(f"{flag} {path}: {error.strerror}") from None
  except ValueError as error:  # a NUL in the name
    raise UserError(f"{flag} {path}: {error}") from None
  if len(content) > MOST_BYTES:
    raise UserError(
      f"{path} is larger than {MOST_BYTES >> 20} MiB; give one line for each "
      "trained run"
    )
  try:
    text = content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise UserError(
      f"{path} is not in UTF-8 (at byte {error.start}); save it as CSV in UTF-8"
    ) from None
  if "\0" in text:
    raise UserError(f"{path} is no text; save it as CSV in UTF-8")
  return text


def _check_header(path, header, needed, optional):
  """Raises a UserError unless these are the columns, each of them once."""
  known = (*needed, *optional)
  for mark, name in _MARKS.items():
    if len(header) == 1 and mark in header[0]:
      raise UserError(
        f"{path} is separated by {name}; save it with commas, and with points "
        "in decimal numbers"
      )
  missing = [name for name in needed if name not in header]
  strange = [name for name in header if name not in known]
  if missing:
    raise UserError(
      f"{path} has no column {', '.join(missing)}; it needs "
      f"{', '.join(needed)} and may have {', '.join(optional)}"
    )
  if strange:
    raise UserError(
      f"{path}: unknown column {strange[0][:40]!r}; remove or rename it: "
      f"columns are {', '.join(known)}"
    )
  twice = sorted({name for name in header if header.count(name) > 1})
  if twice:
    raise UserError(f"{path} has a column twice: {', '.join(twice)}")
