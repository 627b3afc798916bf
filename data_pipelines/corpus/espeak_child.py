"""One utterance through libespeak-ng, in a process of its own.

Run as a script by `speech.py`: `python -I -S espeak_child.py LIBRARY DATA
VOICE RATE PITCH RANGE`, the text on standard input. Standard output gets a
line with the sample rate, one line per phoneme (first sample, a blank, IPA),
an empty line and then raw int16 samples.

Two reasons for a process per utterance: espeak-ng is only deterministic in a
fresh process, and its library is GPL-3, so it never enters ours. Hardly
anything is imported, which keeps a start at about 30 ms.
"""

import ctypes
import sys

SYNCHRONOUS = 2
PHONEME_EVENTS_IPA_DONT_EXIT = 0x1 | 0x2 | 0x8000
CHARS_UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4
EVENT_END, EVENT_PHONEME = 0, 7


class _EventId(ctypes.Union):
  _fields_ = [
    ("number", ctypes.c_int),
    ("name", ctypes.c_char_p),
    ("string", ctypes.c_char * 8),
  ]


class _Event(ctypes.Structure):
  _fields_ = [
    ("type", ctypes.c_int),
    ("unique_identifier", ctypes.c_uint),
    ("text_position", ctypes.c_int),
    ("length", ctypes.c_int),
    ("audio_position", ctypes.c_int),
    ("sample", ctypes.c_int),
    ("user_data", ctypes.c_void_p),
    ("id", _EventId),
  ]


_CALLBACK = ctypes.CFUNCTYPE(
  ctypes.c_int,
  ctypes.POINTER(ctypes.c_short),
  ctypes.c_int,
  ctypes.POINTER(_Event),
)


def speak(library, data, voice, settings, text):
  """Returns (sample rate, int16 bytes, [(first sample, ipa), ...]).

  `settings` are words per minute, pitch and pitch range; `text` is bytes.
  """
  lib = ctypes.CDLL(library)
  rate = lib.espeak_Initialize(
    SYNCHRONOUS, 0, data.encode(), PHONEME_EVENTS_IPA_DONT_EXIT
  )
  if rate <= 0:
    raise RuntimeError(f"espeak-ng found no data in {data}")
  if lib.espeak_SetVoiceByName(voice.encode()) != 0:
    raise RuntimeError(f"espeak-ng has no voice {voice}")
  for parameter, value in zip((RATE, PITCH, RANGE), settings, strict=True):
    lib.espeak_SetParameter(parameter, value, 0)
  pieces, starts = [], []

  def collect(wave, count, events):
    if wave and count > 0:
      pieces.append(ctypes.string_at(wave, 2 * count))
    i = 0
    while events[i].type != EVENT_END:
      if events[i].type == EVENT_PHONEME:
        ipa = events[i].id.string.decode("utf-8", "ignore")
        starts.append((events[i].sample, ipa))
      i += 1
    return 0

  callback = _CALLBACK(collect)
  lib.espeak_SetSynthCallback(callback)
  # Its noise is seeded by the clock otherwise: another one every second.
  lib.espeak_ng_SetRandSeed(1)
  lib.espeak_Synth(text, len(text) + 1, 0, 0, 0, CHARS_UTF8, None, None)
  lib.espeak_Synchronize()
  return rate, b"".join(pieces), starts


def main():
  """Reads the text, writes the answer."""
  library, data, voice, *settings = sys.argv[1:]
  rate, samples, starts = speak(
    library, data, voice, map(int, settings), sys.stdin.buffer.read()
  )
  lines = [f"{rate}\n", *(f"{at} {ipa}\n" for at, ipa in starts), "\n"]
  sys.stdout.buffer.write("".join(lines).encode() + samples)


if __name__ == "__main__":
  main()
