"""Pictures of high dynamic range (BT.2100: PQ, HLG) as those of any screen.

White paper becomes white, and what is brighter too; faces are darker. It is
203 nits in PQ and a signal of 75 % in HLG (BT.2408); HLG is the light of the
scene, so what a bright screen does to it is left out. Colours outside of
BT.709 move to its edge.

  PQ   light = 10000 / 203 * (max(r - c1, 0) / (c2 - c3 r))^(1/m1),
       r = v^(1/m2)
  HLG  light = (v^2 / 3, or (e^((v - c) / a) + b) / 12 above v = 1/2) / 0.265
"""

import functools

import numpy as np

# Names by the numbers of ISO/IEC 23091-2.
TRANSFERS = {16: "PQ", 18: "HLG"}
_TO_BT_709_33 = np.array(
  [
    [1.6605, -0.5876, -0.0728],
    [-0.1246, 1.1329, -0.0083],
    [-0.0182, -0.1006, 1.1187],
  ],
  np.float32,
)


def to_srgb(picture_YX3, transfer):
  """Of uint16 [Y X 3], BT.2020 primaries, full range; uint8 [Y X 3]."""
  light_YX3 = _light(transfer)[picture_YX3]
  light_YX3 = np.clip(light_YX3 @ _TO_BT_709_33.T, 0, 1)
  dark_YX3 = 12.92 * light_YX3
  srgb_YX3 = 1.055 * np.maximum(light_YX3, 1e-6) ** (1 / 2.4) - 0.055
  srgb_YX3 = np.where(light_YX3 < 0.0031308, dark_YX3, srgb_YX3)
  return np.round(255 * srgb_YX3).astype(np.uint8)


@functools.cache
def _light(transfer):
  """float32 for each uint16; white paper is 1."""
  v = np.arange(65_536) / 65_535
  if transfer == "PQ":
    root = v ** (32 / 2523)
    share = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return (10_000 / 203 * share ** (8192 / 1305)).astype(np.float32)
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  bright = (np.exp((v - c) / a) + b) / 12
  light = np.where(v <= 0.5, v**2 / 3, bright)
  return (light / 0.265).astype(np.float32)
