"""One utterance through libespeak-ng, in a process of its own.

Run as a script by `speech.py`: `python -I -S espeak_child.py LIBRARY DATA`,
a JSON request on standard input, one JSON line and then raw int16 samples on
standard output. Two reasons for a process per utterance: espeak-ng is only
deterministic in a fresh process, and its library is GPL-3, so it never enters
ours. Nothing is imported but the standard library, which keeps a start at
about 30 ms.
"""

import ctypes
import json
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


def speak(library, data, request):
  """Returns (sample rate, int16 bytes, [(start sample, ipa), ...])."""
  lib = ctypes.CDLL(library)
  parent = data.removesuffix("/espeak-ng-data")
  rate = lib.espeak_Initialize(
    SYNCHRONOUS, 0, parent.encode(), PHONEME_EVENTS_IPA_DONT_EXIT
  )
  if rate <= 0:
    raise RuntimeError(f"espeak-ng found no data in {parent}")
  if lib.espeak_SetVoiceByName(request["voice"].encode()) != 0:
    raise RuntimeError(f"espeak-ng has no voice {request['voice']}")
  lib.espeak_SetParameter(RATE, request["rate"], 0)
  lib.espeak_SetParameter(PITCH, request["pitch"], 0)
  lib.espeak_SetParameter(RANGE, request["range"], 0)
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
  text = request["text"].encode()
  lib.espeak_Synth(text, len(text) + 1, 0, 0, 0, CHARS_UTF8, None, None)
  lib.espeak_Synchronize()
  return rate, b"".join(pieces), starts


def main():
  """Reads the request, writes the answer."""
  rate, samples, starts = speak(
    sys.argv[1], sys.argv[2], json.loads(sys.stdin.buffer.read())
  )
  head = {"rate": rate, "starts": starts}
  sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + samples)


if __name__ == "__main__":
  main()
