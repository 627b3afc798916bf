"""The long run's curves and alarms, on streams whose decay is known."""

import numpy as np
import pytest

from eartalk_jax.evaluation import long_run

STREAMS, FRAMES, BIN, SIZE = 3, 400, 50, 16


class PaleProbe:
  """Reads the mouth off the first pixel's red."""

  def read(self, frames_tYX3):
    return {"mouth": frames_tYX3[:, :1, 0, 0].astype(np.float32)}


def _portraits():
  rng = np.random.default_rng(0)
  shape = (STREAMS, SIZE, SIZE, 3)
  return rng.integers(60, 200, shape, dtype=np.uint8)


def _mouth():
  rng = np.random.default_rng(1)
  return rng.integers(100, 200, (STREAMS, FRAMES))


def _measure(change=lambda frames_BTYX3: frames_BTYX3, chunk=30):
  """Curves of streams that show their portrait and the right first pixel."""
  portraits_BYX3, mouth_BT = _portraits(), _mouth()
  frames_BTYX3 = np.repeat(portraits_BYX3[:, None], FRAMES, axis=1)
  frames_BTYX3[:, :, 0, 0, 0] = mouth_BT
  frames_BTYX3 = change(frames_BTYX3)
  meter = long_run.Meter(portraits_BYX3, PaleProbe(), BIN)
  for at in range(0, FRAMES, chunk):
    meter.push(frames_BTYX3[:, at : at + chunk])
  return meter.curves(mouth_BT)


def _late(change):
  """Applies `change` to the last quarter of the frames."""

  def apply(frames_BTYX3):
    start = 3 * FRAMES // 4
    late = change(frames_BTYX3[:, start:].astype(int))
    frames_BTYX3[:, start:] = np.clip(late, 0, 255)
    return frames_BTYX3

  return apply


def _blurred(frames):
  return (frames + np.roll(frames, 1, 3) + np.roll(frames, 1, 2)) // 3


def _deaf(frames):
  frames = frames.copy()
  frames[:, :, 0, 0, 0] = frames[:, ::-1, 0, 0, 0]
  return frames


def test_a_stream_that_stays_what_it_is_raises_no_alarm():
  curves = _measure()
  assert {len(curve) for curve in curves.values()} == {FRAMES // BIN}
  np.testing.assert_allclose(curves["lip"], 1, atol=1e-6)
  np.testing.assert_array_equal(curves["identity"], 1)
  assert long_run.alarms(curves) == []


def test_chunks_of_any_length_give_the_same_curves():
  one, other = _measure(chunk=30), _measure(chunk=FRAMES)
  for name in long_run.BANDS:
    np.testing.assert_allclose(one[name], other[name], rtol=1e-9)


@pytest.mark.parametrize(
  "figure, change",
  [
    ("lip", _deaf),
    ("identity", lambda frames: np.roll(frames, 1, axis=0)),
    ("sharpness", _blurred),
    ("colour", lambda frames: frames + 20),
    (
      "motion",
      lambda frames: (
        frames + 5 * (np.arange(frames.shape[1]) % 2).reshape(1, -1, 1, 1, 1)
      ),
    ),
  ],
)
def test_what_decays_late_raises_its_alarm_there(figure, change):
  found = [
    alarm
    for alarm in long_run.alarms(_measure(_late(change)))
    if alarm[0] == figure
  ]
  assert [alarm[1] for alarm in found] == [6, 7]
  for _, _, value, least, most in found:
    assert not least <= value <= most


def test_who_is_lost_at_once_raises_alarms_as_well():
  def lost(frames_BTYX3):
    return np.roll(_blurred(_blurred(frames_BTYX3.astype(int))), 1, axis=0)

  found = {alarm[0] for alarm in long_run.alarms(_measure(lost))}
  assert {"identity", "sharpness"} <= found


def test_the_picture_is_drawn(tmp_path):
  path = tmp_path / "long_run.png"
  long_run.draw(path, {"a": _measure(), "b": _measure(_late(_blurred))}, 0.5)
  assert path.read_bytes().startswith(b"\x89PNG")
