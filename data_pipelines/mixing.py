"""Channels to mono in which the voice is there, wherever it was.

Speakers are weighed as a listener places a voice: as much in the centre as in
front left and right together, half as much in all others together, nothing in
the low-frequency one. Weights add up to 1, so what is the same in all channels
keeps its level; a voice in the centre alone loses 8 dB, on one side 6.

A mean can still lose it: in two channels of opposite phase, or one of eight
without names. So it is measured, and where the mix is near silence beside a
single channel, that channel is taken alone, from the beginning.

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


class Mixes:
  """The mixes of one sound: most have one layout of channels, some change."""

  def __init__(self):
    self._mixes = {}

  def mix(self, samples_CS, names, rate):
    """Mono [S] of the next samples of channels with these names."""
    if names not in self._mixes:
      self._mixes[names] = _Mix(names, rate)
    return self._mixes[names].mix(samples_CS)

  def lose(self):
    """Whether, as measured so far, the voice was lost with these mixes."""
    return any(mix.loses() for mix in self._mixes.values())

  def settled(self):
    """The same, with the weights that lose the least; measures no more."""
    for mix in self._mixes.values():
      mix.settle()
    return self


class _Mix:
  """Of one layout: begins as a mean, and measures what that loses."""

  def __init__(self, names, rate):
    self._choices_KC = speaker_weights(names)[None]
    self._settled = len(names) == 1
    if not self._settled:
      # Rumble is no voice, however loud.
      voices = [_group(name) != "deep" for name in names]
      alone_CC = np.eye(len(names))[voices]
      self._choices_KC = np.concatenate([self._choices_KC, alone_CC])
    self._weights_C = self._choices_KC[0].astype(np.float32)
    self._lost_K = np.zeros(len(self._choices_KC))
    self._energy = 0.0
    self._block = round(_BLOCK_S * rate)
    self._begin()

  def _begin(self):
    channels = self._choices_KC.shape[1]
    self._samples = 0
    self._sum_C = np.zeros(channels)
    self._products_CC = np.zeros((channels, channels))

  def mix(self, samples_CS):
    if not self._settled:
      self._samples += samples_CS.shape[1]
      self._sum_C += samples_CS.sum(axis=1)
      self._products_CC += samples_CS @ samples_CS.T
      if self._samples >= self._block:
        self._end_block()
    return self._weights_C @ samples_CS

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

  def loses(self):
    self._end_block()
    return self._lost_K[0] > _TOLERATED * self._energy

  def settle(self):
    if self.loses():
      self._weights_C = self._choices_KC[self._lost_K.argmin()].astype(
        np.float32
      )
    self._settled = True
