"""The report of a fitted law, and what the fitter asks of a sweep."""

import html.parser
import json

import numpy as np
import pytest
from PIL import Image
from scaling_points import LAW, ladder, study_points

from eartalk_jax.errors import UserError
from launch import fit as command

HEADER = "params,tokens,loss,flops,group,diverged"
CELLS = [f"cell {i}" for i in range(28)]


@pytest.fixture
def sweep(tmp_path):
  """A finished sweep: one cell diverged, one is kept from the fit."""
  directory = tmp_path / "sweep"
  points = study_points(noise=0.002)
  cells, lines = [], [HEADER]
  for i, name in enumerate(CELLS):
    figures = {
      "params": int(points.params[i]),
      "tokens": int(points.tokens[i]),
      "flops": 9.0 * int(points.params[i]) * int(points.tokens[i]),
    }
    cells.append({"name": name, "budget": "1e13", "check": False} | figures)
    result = {
      "diverged": "loss <nan>" if i == 7 else None,
      "loss": points.loss[i],
      "fixed_set": "same",
      "samples": {"lip": 1 / points.loss[i]},
    }
    (directory / "cells" / name).mkdir(parents=True)
    write_result(directory, name, result)
    lines.append(row(figures, points.loss[i], i == 7))
  (directory / "points.csv").write_text("\n".join(lines) + "\n")
  larger = {"params": 10**7, "tokens": 10**9, "flops": 9e16}
  cells.append({"name": "larger", "budget": "9e16", "check": True} | larger)
  (directory / "sweep.json").write_text(json.dumps({"cells": cells}))
  # launch.transfer has a folder of its own.
  (directory / "transfer").mkdir()
  Image.new("RGB", (8, 8)).save(directory / "transfer" / "transfer.png")
  return directory


def row(figures, loss, diverged=False):
  """A line of points.csv."""
  params, tokens, flops = figures.values()
  return f"{params},{tokens},{loss},{flops},base,{int(diverged)}"


def write_result(directory, name, state):
  path = directory / "cells" / name / "result.json"
  path.write_text(json.dumps(state))


def fit(directory, *flags):
  command.main(
    [
      *("--points", str(directory / "points.csv")),
      *("--out", str(directory / "fit"), "--resamples", "100", *flags),
    ]
  )
  return (
    json.loads((directory / "fit" / "fit.json").read_text()),
    (directory / "fit" / "report.html").read_text(),
  )


class Page(html.parser.HTMLParser):
  """Headlines, links and where pictures come from."""

  def __init__(self, text):
    super().__init__()
    self.headlines, self.links, self.pictures = [], [], []
    self._open = None
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self._open = tag
    attrs = dict(attrs)
    if tag == "a":
      self.links.append(attrs["href"])
    if tag == "img":
      self.pictures.append(attrs["src"])
    assert not {"onload", "onclick"} & set(attrs)
    assert tag not in ("script", "link")

  def handle_data(self, data):
    if self._open == "h2" and data.strip():
      self.headlines.append(data)


def test_the_report_holds_everything_and_needs_no_other_file(sweep):
  found, text = fit(sweep, "--at", "3e7:1e9")
  page = Page(text)
  for headline in (
    "Warnings",
    "Loss against size",
    "The law against the points",
    "Constants",
    "Allocation of compute",
    "Predictions",
    "Cross-checks",
    "Points of high leverage",
    "Cells",
    "Samples against loss",
    "Transfer of the learning rate",
    "To do it again",
  ):
    assert headline in page.headlines
  assert len(page.pictures) == 6
  assert all(p.startswith("data:image/png;base64,") for p in page.pictures)
  assert len(page.links) == len(CELLS) + 1
  assert (sweep / "fit" / page.links[3]).resolve() == sweep / "cells" / CELLS[3]
  # Nothing from files gets into the page as HTML.
  assert "loss &lt;nan&gt;" in text
  assert found["points"]["sha256"] in text
  assert "--at 3e7:1e9" in text
  assert (sweep / "points.csv").read_text().strip() in text


def test_counted_flops_are_used_and_named(sweep):
  found, _ = fit(sweep)
  assert found["cost"]["source"] == "the column flops"
  assert found["cost"]["factor"] == pytest.approx(9)
  assert found["points"]["fitted"] == 27
  assert any(w.startswith("line 9 ") for w in found["warnings"])


def test_a_half_finished_sweep_is_fitted_only_when_asked(sweep):
  (sweep / "cells" / CELLS[2] / "result.json").unlink()
  (sweep / "cells" / CELLS[5] / "result.json").unlink()
  with pytest.raises(UserError, match="2 of 29 cells .* not finished: cell 2"):
    fit(sweep)
  assert not (sweep / "fit").exists()
  found, text = fit(sweep, "--partial")
  assert found["points"]["missing_cells"] == [CELLS[2], CELLS[5]]
  assert found["warnings"][0].startswith("PARTIAL: 2 cells")
  assert "PARTIAL" in text
  assert "not finished" in text


def test_a_sweep_whose_data_changed_is_refused(sweep):
  other = {"diverged": None, "loss": 1.0, "fixed_set": "other"}
  write_result(sweep, CELLS[4], other)
  with pytest.raises(UserError, match=r"changed between cells.*cell 4 \(other"):
    fit(sweep, "--partial")
  assert not (sweep / "fit").exists()


@pytest.mark.parametrize(("factor", "inside"), ((1.0, True), (1.05, False)))
def test_a_run_kept_from_the_fit_is_held_against_it(sweep, factor, inside):
  figures = {"params": 10**7, "tokens": 10**9, "flops": 9e16}
  measured = factor * LAW.loss(1e7, 1e9)
  (sweep / "checks.csv").write_text(f"{HEADER}\n{row(figures, measured)}\n")
  found, text = fit(sweep)
  (run,) = found["predictions"]
  assert run["measured"] == pytest.approx(measured)
  assert run["inside"] is inside
  assert ('mark pass">inside' in text) is inside


def test_a_broken_plan_is_named(sweep):
  (sweep / "sweep.json").write_text("{")
  with pytest.raises(UserError, match="sweep.json: not a JSON file"):
    fit(sweep)


def test_every_recipe_has_its_own_sections(tmp_path):
  params, tokens = ladder()
  lines = ["params,tokens,loss,group"]
  for group, factor in (("plain", 1.0), ("<better>", 0.9)):
    loss = LAW.E + factor * (LAW.loss(params, tokens) - LAW.E)
    rows = np.stack([params, tokens, loss], 1)
    lines += [",".join(map(str, row)) + f",{group}" for row in rows]
  (tmp_path / "points.csv").write_text("\n".join(lines) + "\n")
  _, text = fit(tmp_path)
  page = Page(text)
  assert "Constants (plain)" in page.headlines
  assert "Speed-up" in page.headlines
  assert "Constants (&lt;better&gt;)" in text
  assert len(page.pictures) == 8
