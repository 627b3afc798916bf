"""Names of files as text, and what is behind them.

A file system takes any bytes as a name; a dataset, a terminal and a log do not.
"""

import os
import stat
import unicodedata

# Line breaks, control characters, and what stands for bytes that are no text.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def printable(name):
  r"""A name as one line of UTF-8, from which it can be told again.

  Backslashes are doubled; a byte that is no UTF-8 or a control character
  becomes \xe9, another unprintable character \u2028.
  """
  return "".join(map(_printable, name))


def _printable(character):
  if character == "\\":
    return r"\\"
  if unicodedata.category(character) not in _UNPRINTABLE:
    return character
  code = ord(character)
  if 0xDC80 <= code <= 0xDCFF:  # how Python writes such a byte
    return f"\\x{code - 0xDC00:02x}"
  return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def what_is_wrong(path):
  """Why a path cannot be read as a file, in words; None if it can.

  Nothing is opened: a pipe would let its reader wait for ever.
  """
  try:
    mode = os.stat(path).st_mode
  except OSError as error:
    if os.path.islink(path):
      return f"is a link to nothing that can be read ({error.strerror})"
    return f"cannot be read ({error.strerror})"
  if stat.S_ISDIR(mode):
    return "is a folder"
  if not stat.S_ISREG(mode):
    return "is a pipe, a socket or a device"
  return None
