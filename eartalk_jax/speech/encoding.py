"""Windows of samples through an encoder: where it is compiled, and stored.

A network gives a pure `apply`, which is compiled here, once for each encoder
and number of rows. Clips, files and streams all come here, so that what is
trained on and what is heard live are the same numbers:

  on a CPU   one row in a call: it keeps all cores busy, and the bits of a
             window depend on no other one, nor on how many there are
  elsewhere  a fixed number of rows in a call; those that are missing are
             silence, so one program serves. Other numbers of rows round
             otherwise, in the last bits

What has weights is stored in float16, half the size: 2 x 768 numbers are 3 kB a
frame or 77 kB a second, 2 x 12288 (12 states of 1024) 49 kB a frame or 1.2 MB a
second. So all features of such an encoder are rounded to it, live ones too.

Dimension key: B rows, S samples, t frames, A vectors in a frame, F numbers in a
vector.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# Windows of a clip or file that are computed together.
TOGETHER = 8


def encode(speech, windows, rows=TOGETHER):
  """The features of windows, as they are stored.

  Args:
    speech: Speech.
    windows: a list of samples [S]; of one length, unless its `step` is None.
    rows: of a call, where rows are computed together.

  Returns:
    A list of float32 [t A F].
  """
  if speech.step is None:
    found = [speech.apply(speech.params, part_S[None]) for part_S in windows]
    return [rounded(speech, found_1tAF[0]) for found_1tAF in found]
  rows, run = (1 if one_by_one() else rows), compiled(speech)
  found = []
  for first in range(0, len(windows), rows):
    part_BS = np.stack(windows[first : first + rows])
    missing = rows - len(part_BS)
    found_BtAF = run(np.pad(part_BS, ((0, missing), (0, 0))))
    found += list(rounded(speech, found_BtAF)[: len(part_BS)])
  return found


def one_by_one():
  """Whether rows are computed in calls of their own."""
  return jax.default_backend() == "cpu"


@functools.lru_cache(maxsize=2)
def compiled(speech):
  """Compiled: windows float32 [B S] -> features [B t A F].

  The weights are on the device once, not once a call. Products are those of
  float32: what one machine has stored is what another one must hear.
  """
  params = jax.tree.map(jnp.asarray, speech.params)

  @jax.jit
  def run(params, windows_BS):
    with jax.default_matmul_precision("float32"):
      return speech.apply(params, windows_BS)

  return functools.partial(run, params)


def stored_type(speech):
  """The type in which features of a Speech are stored."""
  return np.float16 if speech.params else np.float32


def rounded(speech, features):
  """Features as float32 with the numbers that are stored."""
  kept, features = stored_type(speech), np.asarray(features, np.float32)
  if kept == np.float32:
    return features
  most = np.finfo(kept).max  # a few numbers of a large network lie beyond
  return np.clip(features, -most, most).astype(kept).astype(np.float32)
