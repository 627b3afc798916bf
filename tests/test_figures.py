"""One table of figures, and metrics that come to it by one line."""

import numpy as np
import pytest
from fake_talkers import (
  MANIFEST,
  FakeGenerator,
  Loudness,
  Pixels,
  clips,
  records,
)

from eartalk_jax.evaluation import ablations, held_out, measuring, metrics
from eartalk_jax.evaluation.figures import (
  FIGURES,
  KINDS,
  Figure,
  Target,
  name_of,
)
from eartalk_jax.evaluation.held_out_videos import make_videos
from eartalk_jax.evaluation.report import Run, build_report
from eartalk_jax.evaluation.targets import judge


class Openness:
  """Mean opening of the mouth over the true one."""

  figures = (Figure("openness", "how open", "lips", 1, None),)
  over = tuple(KINDS)

  def __init__(self, needs=("truth:mouth", "probe:mouth")):
    self.needs = needs

  def start(self):
    return []

  def push(self, state, seen, clip):
    assert seen.video_TYX3.shape == clip.frames_TYX3.shape
    pair = seen.tracks["mouth"][:, 0], clip.tracks["mouth"][:, 0]
    state.append([values_T.mean() for values_T in pair])

  def finish(self, state):
    read, true = np.mean(state, axis=0)
    return {"openness": (float(read / true), len(state))}


@pytest.fixture
def registered(monkeypatch):
  """Adds a metric by the line that the registry takes."""

  def register(metric):
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, metric))

  return register


def measure(people, probe):
  videos = make_videos(FakeGenerator(), people, 0, training_frames=8)
  return measuring.measure(people, videos, probe)[0]


def page_of(found):
  empty = {"images": {}, "video": None, "video_caption": "", "curves": {}}
  empty |= {"stages": [], "machine": {}, "configs": {}, "places": {}}
  return build_report(Run(title="x", metrics=found, **empty))


def test_a_registered_metric_is_on_every_page(registered, tmp_path):
  registered(Openness())
  found = measure(clips(4), Pixels())
  for kind in KINDS:
    assert found["clips_counted"][f"openness{kind}"] == 4
  for kind in ("", "_ceiling", "_tokenizer"):
    assert found[f"openness{kind}"] == pytest.approx(1, abs=0.01)
  values = [f"{found[f'openness{kind}']:.1f}" for kind in KINDS]
  cells = "".join(f"<td class=n>{value}</td>" for value in values)
  assert f"<tr><td>how open, lips</td>{cells}</tr>" in page_of(found)
  rows = [{"variant": "full", "seed": 0} | found]
  ablations.write_page(tmp_path, {"full": "nothing"}, rows)
  table = (tmp_path / "ablations.md").read_text()
  assert table.splitlines()[2].endswith("| how open, lips |")
  assert table.splitlines()[4].endswith(f"| {found['openness']:.2f} |")


def test_a_clip_without_the_truth_is_not_pushed(registered):
  registered(Openness())
  source = records(4)
  source[2]["has/mouth"] = False
  people = held_out.load_clips(
    source, Loudness(), MANIFEST["track_sizes"], 4, 50, 0
  )
  found = measure(people, Pixels())
  assert found["clips_counted"]["openness"] == 3
  assert found["openness"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
  ("needs", "probe", "reason"),
  [
    (("truth:ears", "probe:mouth"), Pixels(), "no clip has a truth of ears"),
    (("truth:mouth", "probe:ears"), Pixels(), "no probe reads ears"),
    (("truth:mouth", "probe:mouth"), None, "no probe reads mouth"),
    (("reader:probe",), None, "there is no probe"),
  ],
)
def test_what_a_metric_lacks_is_told(registered, needs, probe, reason):
  registered(Openness(needs))
  found = measure(clips(2), probe)
  for kind in KINDS:
    assert found[f"openness{kind}"] is None
    assert found["not_measured"][f"openness{kind}"] == reason
  assert "how open" in page_of(found)


def test_truth_that_no_clip_has_together_is_not_enough(registered):
  registered(Openness(("truth:mouth", "truth:pose")))
  source = records(2)
  source[0]["has/mouth"] = source[1]["has/pose"] = False
  people = held_out.load_clips(
    source, Loudness(), MANIFEST["track_sizes"], 2, 50, 0
  )
  found = measure(people, Pixels())
  assert found["openness"] is None
  assert "all the truth" in found["not_measured"]["openness"]


def test_a_target_of_a_registered_metric_is_judged(registered):
  brought = Openness()
  brought.figures = (Figure("openness", "how open", target=Target(0.5)),)
  registered(brought)
  passed = {v.figure.key: v.passed for v in judge({"openness": 0.6})}
  assert passed["openness"] is True


def test_every_number_of_an_evaluation_is_a_known_figure():
  found = measure(clips(4), Pixels())
  names = {name_of(key, kind) for key in FIGURES for kind in KINDS}
  assert set(found) - {"clips_counted", "not_measured"} <= names


def test_a_figure_called_after_a_kind_is_of_no_other():
  assert name_of("tokenizer_ssim", "_tokenizer") == "tokenizer_ssim"
  others = [kind for kind in KINDS if kind != "_tokenizer"]
  assert {name_of("tokenizer_ssim", kind) for kind in others} == {None}


def test_an_aim_without_a_direction_is_refused():
  with pytest.raises(ValueError, match="'x' has a target, but no direction"):
    Figure("x", "x", better=None, target=Target(1))
