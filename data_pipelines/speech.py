"""The speech that a video is made for, read as datasets read theirs.

Time runs as in a player, from the first sample on: what was lost in a
recording is silence, not left out. Nothing is held but the piece at hand, so
the length does not matter.

Dimension key:  S samples.
"""

from data_pipelines.isolation import pieces_apart
from data_pipelines.mono import MonoSound, measured
from data_pipelines.rejects import Reject
from eartalk_jax.errors import UserError
from eartalk_jax.spans import SAMPLE_RATE, frame_count
from eartalk_jax.speech.listening import Listener

# What is to be done about a sound that cannot be used; else, another format.
_REMEDIES = {
  "no_audio": "give a file with speech",
  "bad_audio": "repair or re-export it",
}


def stream_samples(path, rate):
  """Yields the default audio track as float32 pieces [S] of mono samples.

  It is decoded in a child process, which a hostile file may end.

  Raises:
    UserError: no such file, no audio track, damaged, or samples or a rate that
      cannot be; or the decoder crashed, hung, or took too much memory.
  """
  yield from pieces_apart(_decoded, path, rate)


def _decoded(path, rate):
  try:
    with open(path, "rb"):
      pass
    yield from MonoSound(path, rate, measured(path)).pieces()
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}); check --audio"
    ) from None
  except Reject as reject:
    remedy = _REMEDIES.get(
      reject.reason, "give a WAV, MP3, MP4 or similar file"
    )
    raise UserError(f"{path} {reject.detail}; {remedy}") from None


def count_frames(path):
  """Video frames that the file's sound gives: round(seconds * 25).

  Raises:
    UserError: as `stream_samples`, or the sound is shorter than half a frame.
  """
  samples = sum(map(len, stream_samples(path, SAMPLE_RATE)))
  frames = frame_count(samples)
  if not frames:
    raise UserError(
      f"{path} has {samples / SAMPLE_RATE:.3f} s of sound, less than "
      "one video frame; give a longer file"
    )
  return frames


def stream_features(path, speech):
  """Yields the features [t, A, F] of a Speech as the sound is read.

  Together they are `count_frames` frames. Raises as `stream_samples`.
  """
  listener = Listener(speech)
  for samples_S in stream_samples(path, SAMPLE_RATE):
    features_tAF = listener.push(samples_S)
    if len(features_tAF):
      yield features_tAF
  features_tAF = listener.finish()
  if len(features_tAF):
    yield features_tAF
