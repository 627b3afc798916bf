"""A report of a run as one HTML file that needs no other file."""

import base64
import dataclasses
import html
import json

from eartalk_jax import plotting
from eartalk_jax.counting import clock
from eartalk_jax.evaluation.figures import BESIDE, FIGURES, KINDS, name_of
from eartalk_jax.evaluation.metrics import all_figures
from eartalk_jax.evaluation.report_parts import (
  image,
  page,
  section,
  table,
  tiles,
)
from eartalk_jax.evaluation.report_style import PAGE
from eartalk_jax.evaluation.targets import judge
from eartalk_jax.telemetry.curves import draw_curves

# The large figures at the top, of a kind of video.
_TILES = (
  ("lip", ""),
  ("lip", "_ceiling"),
  ("tokenizer_psnr_db", "_tokenizer"),
  ("wall_seconds", ""),
)


@dataclasses.dataclass(frozen=True)
class Run:
  """What a report is about; whatever is None or empty is left out.

  Attributes:
    title: the headline.
    metrics: of metrics.json.
    images: {name: PNG bytes} of the evaluation's plots.
    video: bytes of the mp4 file.
    video_caption: what is to be seen in it.
    curves: {"tokenizer" or "talker": lines of metrics.jsonl}.
    stages: [{"title", "command", "seconds"}].
    machine: {what: value} in words.
    configs: {name: resolved configuration}.
    places: {what: path}, where to look next.
  """

  title: str
  metrics: dict
  images: dict
  video: bytes | None
  video_caption: str
  curves: dict
  stages: list
  machine: dict
  configs: dict
  places: dict


def build_report(run):
  """The whole page as text."""
  verdicts = judge(run.metrics)
  parts = [
    _summary(run, verdicts),
    section("The video", _video(run)),
    section("Targets", _targets(verdicts)),
    section("Every figure", _figures(run.metrics)),
    section("Frames side by side", image(run.images.get("strips"), "strips")),
    section("Mouth opening", _mouths(run)),
    section("Long streams", _drift(run)),
    section("Training", _curves(run.curves)),
    section("What ran", _what_ran(run)),
    section("Where to look next", _places(run.places)),
  ]
  return page(run.title, PAGE, parts)


def _summary(run, verdicts):
  known = [v for v in verdicts if v.passed is not None]
  passed = sum(v.passed for v in known)
  figures = [("targets met", f"{passed} of {len(known)}")]
  for key, kind in _TILES:
    figure, name = FIGURES[key], name_of(key, kind)
    value = run.metrics.get(name)
    if value is not None:
      what = "" if name == key else f": {KINDS[kind]}"
      figures.append((figure.heading + what, figure.text(value)))
  return (
    f"<header><h1>{html.escape(run.title)}</h1><p>A talking head generated "
    "frame by frame from one portrait and speech, measured on people, voices "
    f"and sentences that training never saw.</p></header>{tiles(figures)}"
  )


def _video(run):
  if not run.video:
    return ""
  data = base64.b64encode(run.video).decode()
  return (
    '<div class=film><video controls loop playsinline src="data:video/mp4;'
    f'base64,{data}"></video><p>{html.escape(run.video_caption)}</p></div>'
  )


def _targets(verdicts):
  rows = [
    [
      html.escape(v.figure.heading),
      f"<code>{v.figure.key}</code>",
      html.escape(v.needed),
      html.escape(v.measured),
      f'<span class="mark {v.mark}">{v.mark}</span>',
    ]
    for v in verdicts
  ]
  head = ["what", "figure", "needed", "measured", ""]
  return table(head, rows, numbers=(2, 3))


def _figures(metrics):
  rows = []
  for key, figure in all_figures().items():
    names = [name_of(key, kind) for kind in KINDS]
    if key not in BESIDE and any(name in metrics for name in names):
      values = [figure.text(metrics.get(name)) for name in names]
      rows.append([html.escape(figure.heading), *values])
  if not rows:
    return ""
  note = (
    "<p>Of lips, heads and eyes: correlation of what the probe reads with the "
    "truth, as the mean over clips; of emotion, the share of frames that are "
    "recognised. The probe sees pixels only. Its score on real video is the "
    "ceiling, that of a portrait that never moves the baseline.</p>"
  )
  head = ["", *KINDS.values()]
  return note + table(head, rows, numbers=range(1, len(head)))


def _mouths(run):
  picture = image(run.images.get("mouths"), "mouth openings")
  note = (
    "<p>What the probe reads in the generated video, over the truth. At the "
    "right, the same people are driven by another clip's speech: the mouth has "
    "to follow that.</p>"
  )
  return picture and note + picture


def _drift(run):
  picture = image(run.images.get("drift"), "drift")
  note = (
    "<p>Lip correlation over one long stream; its last tenth repeats the words "
    "of the first.</p>"
  )
  return picture and note + picture


def _curves(curves):
  images = []
  for name, lines in curves.items():
    figure = draw_curves(lines, name)
    if figure is not None:
      images.append(image(plotting.png(figure), f"curves of the {name}"))
  return "".join(images)


def _what_ran(run):
  stages = [
    [
      html.escape(stage["title"]),
      clock(stage["seconds"]),
      f"<code>{html.escape(stage['command'])}</code>",
    ]
    for stage in run.stages
  ]
  parts = []
  if stages:
    parts.append(table(["stage", "time", "command"], stages, numbers=(1,)))
  machine = [[html.escape(k), html.escape(v)] for k, v in run.machine.items()]
  parts.append(table(["machine and versions", ""], machine))
  for name, config in run.configs.items():
    text = html.escape(json.dumps(config, indent=1))
    parts.append(
      f"<details><summary>Configuration of the {html.escape(name)}</summary>"
      f"<pre>{text}</pre></details>"
    )
  return "".join(parts)


def _places(places):
  rows = [
    [html.escape(what), f"<code>{html.escape(str(path))}</code>"]
    for what, path in places.items()
  ]
  return table(["what", "where"], rows) if rows else ""
