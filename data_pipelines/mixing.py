"""Channels to mono in which the voice is there, wherever it was.

Speakers are weighed as a listener places a voice: as much in the centre as in
front left and right together, half as much in all others together, nothing in
the low-frequency one. Weights add up to 1, so what is the same in all channels
keeps its level; a voice in the centre alone loses 8 dB, on one side 6.

A mean can still lose it: in two channels of opposite phase, or one of eight
without names. So a first pass over the sound measures, and where the mix is
near silence beside a single channel, that channel is taken alone.

Dimension key:  S samples, C channels, K choices: the mix, each channel alone.
"""

import numpy as np

_FRONT = ("FL", "FR", "DL", "DR", "BIL", "BIR")
_DEEP = ("LFE", "LFE2")
# In these seconds the voice is lost if the mix has less than that share of the
# loudest channel's power: what 8 dB are well above.
_BLOCK_S = 0.5
_LOST = 0.1
# Losing that share of a sound's energy is no matter: breaths, rustling.
_TOLERATED = 0.01


def speaker_weights(names):
  """[C] of how much each named speaker counts; they add up to 1."""
  groups = [_group(name) for name in names]
  share = {"centre": 1.0, "front": 1.0, "around": 0.5, "unknown": 1.0}
  if not set(groups) & set(share):
    groups = ["unknown"] * len(names)
  weights_C = np.array(
    [share.get(group, 0) / groups.count(group) for group in groups]
  )
  return weights_C / weights_C.sum()


def _group(name):
  if name == "NONE":  # nothing is known of this channel
    return "unknown"
  if name == "FC":
    return "centre"
  if name in _FRONT:
    return "front"
  return "deep" if name in _DEEP else "around"


class Mix:
  """Measures what the mix of a sound would lose; then tells the weights."""

  def __init__(self, names, rate):
    """For channels of these names and samples per second."""
    self.names = names
    weights_C = speaker_weights(names)
    # Rumble is no voice, however loud.
    alone_CC = np.eye(len(names))[[_group(name) != "deep" for name in names]]
    self._choices_KC = np.concatenate([weights_C[None], alone_CC])
    self._lost_K = np.zeros(len(self._choices_KC))
    self._energy = 0.0
    self._block = round(_BLOCK_S * rate)
    self._begin()

  def _begin(self):
    self._samples = 0
    self._sum_C = np.zeros(len(self.names))
    self._products_CC = np.zeros((len(self.names),) * 2)

  def measure(self, samples_SC):
    """Takes the next samples, as they are in the file."""
    self._samples += len(samples_SC)
    self._sum_C += samples_SC.sum(axis=0)
    self._products_CC += samples_SC.T @ samples_SC
    if self._samples >= self._block:
      self._end_block()

  def _end_block(self):
    if not self._samples:
      return
    mean_C = self._sum_C / self._samples  # an offset is no sound
    energy_CC = self._products_CC - self._samples * np.outer(mean_C, mean_C)
    energy_K = np.einsum(
      "kc,cd,kd->k", self._choices_KC, energy_CC, self._choices_KC
    )
    loudest = energy_K[1:].max(initial=0)
    self._energy += loudest
    self._lost_K += loudest * (energy_K < _LOST * loudest)
    self._begin()

  def weights(self):
    """[C], of the whole sound: the mix, or the channel that loses the least."""
    self._end_block()
    if self._lost_K[0] <= _TOLERATED * self._energy:
      return self._choices_KC[0]
    return self._choices_KC[self._lost_K.argmin()]
