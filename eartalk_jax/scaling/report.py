"""The report of a fitted law as one HTML file that needs no other file."""

import dataclasses
import html
import json

from eartalk_jax.evaluation.report_parts import (
  image,
  page,
  section,
  table,
  tiles,
)
from eartalk_jax.evaluation.report_style import PAGE
from eartalk_jax.scaling import report_tables as tables


@dataclasses.dataclass(frozen=True)
class Told:
  """What a report tells; whatever is empty is left out.

  Attributes:
    title: the headline.
    found: of fit.json.
    images: {group: {name: PNG bytes}}.
    cells: [{what: value}], one for each trained cell.
    quality: PNG bytes of samples' figures against loss, or None.
    transfer: {name: PNG bytes} of learning-rate transfer.
    points: the text of the points file.
  """

  title: str
  found: dict
  images: dict
  cells: list
  quality: bytes | None
  transfer: dict
  points: str


def build_report(told):
  """The whole page as text."""
  found = told.found
  parts = [_summary(told), section("Warnings", _warnings(found))]
  name = f" ({found['group']})" if found["groups"] else ""
  parts += _recipe(found, told.images[found["group"]], name)
  for group, other in found["groups"].items():
    parts.append(section(f"Warnings: {group}", _warnings(other)))
    parts += _recipe(other, told.images[group], f" ({group})")
  parts += [
    section("Speed-up", tables.speed_ups(found)),
    section("Cells", tables.cells_table(told.cells)),
    section(
      "Samples against loss",
      told.quality
      and tables.note("Loss is what is fitted; samples need not follow it.")
      + image(told.quality, "samples against loss"),
    ),
    section("Transfer of the learning rate", _transfer(told.transfer)),
    section("To do it again", _again(told)),
  ]
  return page(told.title, PAGE, parts)


def _summary(told):
  found = told.found
  last = found["optimum"][-1]
  recipe = f" of {found['group']}" if found["groups"] else ""
  figures = [
    (f"points fitted{html.escape(recipe)}", str(found["fitted"])),
    ("alpha", f"{found['alpha']:.3f}"),
    ("beta", f"{found['beta']:.3f}"),
    ("E", f"{found['E']:.4g}"),
    (f"tokens per param at {last['flops']:.2g} FLOPs",
     f"{last['tokens_per_param']:.3g}"),
    ("warnings", str(len(found["warnings"]))),
  ]  # fmt: skip
  fit = "converged" if found["converged"] else "did not converge"
  return (
    f"<header><h1>{html.escape(told.title)}</h1><p>loss = E + A / "
    "params<sup>alpha</sup> + B / tokens<sup>beta</sup>, fitted by the sum of "
    f"Huber losses of logarithms, which {fit} at {found['objective']:.8g}; "
    f"{found['starts_reached']:.0%} of the starts reached it. Intervals hold "
    f"{found['interval']:.0%}, those of single runs "
    f"{found['run_interval']:.0%}, from {found['resamples']} resamples. "
    f"FLOPs: {html.escape(found['cost']['source'])}.</p></header>"
    f"{tiles(figures)}"
  )


def _warnings(found):
  items = "".join(f"<li>{html.escape(w)}</li>" for w in found["warnings"])
  return items and f"<ul>{items}</ul>"


def _recipe(found, images, name):
  """All sections of one recipe."""
  return [
    section(
      f"Loss against size{name}",
      tables.note(
        "Points of equal compute, the law through them (lines), parabolas "
        "(dots) with their minima (crosses), and the law's optimum."
      )
      + image(images["isoflop"], "loss against size"),
    ),
    section(
      f"The law against the points{name}", image(images["fit"], "residuals")
    ),
    section(f"Constants{name}", tables.constants(found)),
    section(
      f"Allocation of compute{name}",
      tables.note("Right of the dashed line lies what no run has tested.")
      + image(images["allocation"], "optimal size and tokens")
      + tables.optima(found),
    ),
    section(
      f"Predictions{name}",
      image(images["frontier"], "loss along compute")
      + tables.predictions(found),
    ),
    section(f"Cross-checks{name}", tables.cross_checks(found)),
    section(f"Points of high leverage{name}", tables.leverage(found)),
  ]


def _transfer(images):
  return "".join(
    image(data, html.escape(name)) for name, data in images.items()
  )


def _again(told):
  found = told.found
  points = found["points"]
  rows = [
    ["command", f"<code>{html.escape(found['command'])}</code>"],
    ["points", f"<code>{html.escape(points['file'])}</code>"],
    ["SHA-256 of the points", f"<code>{points['sha256']}</code>"],
    ["seed of the resampling", str(found["seed"])],
  ]
  rows += [
    [html.escape(k), html.escape(v)] for k, v in found["versions"].items()
  ]
  parts = [table(["", ""], rows)]
  for title, text in (
    ("The points file", told.points),
    ("fit.json", json.dumps(found, indent=1, sort_keys=True)),
  ):
    parts.append(
      f"<details><summary>{title}</summary><pre>{html.escape(text)}</pre>"
      "</details>"
    )
  return "".join(parts)
