"""The command that fits laws: what it finds, and what it refuses."""

import os

import numpy as np
import pytest
from scaling_points import (
  BUDGETS,
  CHINCHILLA,
  LAW,
  chinchilla,
  ladder,
  points_of,
  study_points,
  write,
)

from eartalk_jax.errors import UserError
from eartalk_jax.scaling import huber
from eartalk_jax.scaling.bootstrap import draw
from eartalk_jax.scaling.fitting import constants, fit_points, prediction
from eartalk_jax.scaling.law import Cost, Law, optimum
from launch import fit as command

SIXES = np.geomspace(1e4, 1e6, 6)


def write_study(path, **what):
  points = study_points(**what)
  return write(path, points.params, points.tokens, points.loss)


def flags_of(points, out, *flags):
  paths = ["--points", str(points), "--out", str(out)]
  return [*paths, "--resamples", "200", *flags]


def fit(points, out, *flags):
  """What fit.json would hold."""
  return command.analyse(flags_of(points, out, *flags))[2]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
  """fit.json of the 240 points, and of all 245."""
  folder = tmp_path_factory.mktemp("published")
  points = chinchilla(left_out=5)
  few = write(folder / "240.csv", points.params, points.tokens, points.loss)
  return (
    fit(few, folder / "240", "--resamples", "1000", "--budgets", "5.88e23"),
    fit(CHINCHILLA, folder / "245"),
  )


def test_published_intervals_are_covered(published):
  found = published[0]
  assert found["resamples"] == 1000
  assert found["converged"]
  for name, low, high in (("alpha", 0.317, 0.373), ("beta", 0.331, 0.415)):
    assert low - 0.02 < found[f"{name}_low"] <= low
    assert high <= found[f"{name}_high"] < high + 0.02
  for name in "EAB":
    assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
  assert found["varpro"]["converged"]
  assert found["varpro"]["alpha_low"] < found["alpha"]


def test_published_ratio_of_tokens_to_params(published):
  (chinchilla,) = (
    row for row in published[0]["optimum"] if row["flops"] == 5.88e23
  )
  assert chinchilla["tokens_per_param"] == pytest.approx(17.9, abs=0.05)


def test_points_that_bend_the_law_are_named(published):
  lines = CHINCHILLA.read_text().splitlines()
  highest = sorted(lines[1:], key=lambda row: -float(row.split(",")[2]))[:5]
  named = {p["line"] for p in published[1]["leverage"] if p["gross"]}
  assert named == {lines.index(row) + 1 for row in highest}
  (warning,) = (w for w in published[1]["warnings"] if "high leverage" in w)
  assert all(f"line {line} (" in warning for line in named)
  assert not any("high leverage" in w for w in published[0]["warnings"])


def test_rows_in_another_order_give_the_same_file(tmp_path):
  points = study_points(noise=0.003)
  order = np.random.default_rng(0).permutation(len(points))
  found = []
  for name, rows in (("a", np.arange(len(points))), ("b", order)):
    shuffled = points[rows]
    path = write(
      tmp_path / f"{name}.csv",
      shuffled.params,
      shuffled.tokens,
      shuffled.loss,
    )
    found.append(fit(path, tmp_path / name))
  for key in ("objective", "alpha", "alpha_low", "E_high", "optimum"):
    assert found[0][key] == found[1][key]


def test_intervals_hold_the_truth_and_a_larger_run():
  inside = dict.fromkeys(("E", "alpha", "beta", "near", "far"), 0)
  for seed in range(12):
    study = fit_points(study_points(noise=0.002, seed=seed), resamples=200)
    told = constants(study)[0]
    for name in ("E", "alpha", "beta"):
      low, high = told[f"{name}_low"], told[f"{name}_high"]
      inside[name] += low < getattr(LAW, name) < high
    rng = np.random.default_rng(100 + seed)
    # Among the points the noise of a run counts, far from them the law.
    for where, (params, tokens) in (("near", (3e5, 3e7)), ("far", (3e7, 1e9))):
      run = LAW.loss(params, tokens) * np.exp(0.002 * rng.normal())
      told = prediction(study, params, tokens, run)
      inside[where] += told["inside"]
      assert told["run_high"] - told["run_low"] < 0.1 * told["loss"]
  # Of 12, 95 % is 11.4 and 90 % is 10.8.
  assert all(count >= 9 for count in inside.values()), inside


def lonely(seed=0):
  """Three token counts, one of them of a single point."""
  params = np.append(np.tile(SIXES, 2), SIXES[3])
  tokens = np.append(np.repeat([1e7, 1e9], 6), 1e8)
  noise = np.random.default_rng(seed).normal(size=13)
  loss = LAW.loss(params, tokens) * np.exp(0.002 * noise)
  return points_of(params, tokens, loss)


def test_every_resample_can_carry_a_law():
  points, rng = lonely(), np.random.default_rng(0)
  kept_P = np.ones(13, bool)
  kept_P[4] = False
  weight_RP = draw(points, kept_P, 300, rng)
  assert weight_RP.shape == (300, 13)
  assert (weight_RP.sum(axis=1) == 12).all() and not weight_RP[:, 4].any()
  for weight_P in weight_RP:
    there = weight_P > 0
    assert len(set(points.tokens[there])) == 3
    assert len(set(points.params[there])) > 2
  # Where none is lost the drawing is plain.
  many = study_points()
  plain = np.random.default_rng(1).multinomial(28, np.full(28, 1 / 28), 50)
  drawn = draw(many, np.ones(28, bool), 50, np.random.default_rng(1))
  np.testing.assert_array_equal(drawn, plain)


def test_intervals_are_wide_where_one_point_alone_tells_e():
  inside = 0
  for seed in range(8):
    study = fit_points(lonely(seed), resamples=100)
    told = constants(study)[0]
    inside += told["E_low"] < LAW.E < told["E_high"]
    assert told["E_high"] - told["E_low"] > 0.05
    # Without it there would be no law that it could miss.
    assert all(study.points.tokens[p.index] != 1e8 for p in study.leverages)
  assert inside >= 7


def test_diverged_and_left_out_points_are_listed_but_not_fitted(tmp_path):
  points = study_points()
  loss = list(points.loss)
  diverged = ["false"] * len(points)
  diverged[3], loss[3] = "true", "nan"
  loss[8] *= 2
  path = write(
    tmp_path / "p.csv", points.params, points.tokens, loss, diverged=diverged
  )
  found = fit(path, tmp_path / "out", "--without", "10")
  assert found["points"]["fitted"] == len(points) - 2
  assert found["points"]["diverged"][0].startswith("line 5 ")
  assert found["points"]["left_out"][0].startswith("line 10 ")
  assert found["alpha"] == pytest.approx(LAW.alpha, rel=1e-6)


def test_speed_up_between_two_recipes(tmp_path):
  # The better recipe: both terms smaller as if each token counted thrice.
  better = Law(LAW.E, LAW.A, LAW.B / 3**LAW.beta, LAW.alpha, LAW.beta)
  params, tokens = ladder()
  path = write(
    tmp_path / "p.csv",
    np.tile(params, 2),
    np.concatenate([tokens, tokens * 1.5]),
    np.concatenate(
      [LAW.loss(params, tokens), better.loss(params, tokens * 1.5)]
    ),
    group=["plain"] * len(params) + ["better"] * len(params),
  )
  found = fit(path, tmp_path / "out")
  assert found["group"] == "plain"
  assert found["fitted"] == found["groups"]["better"]["fitted"] == len(params)
  assert found["groups"]["better"]["B"] == pytest.approx(better.B, rel=1e-4)
  for row in found["speed_up"]:
    assert row["group"] == "better"
    assert row["speed_up"] == pytest.approx(3, rel=1e-4)


def test_leaving_the_largest_budget_out_predicts_it(tmp_path):
  path = write_study(tmp_path / "p.csv", noise=0.001)
  rows = fit(path, tmp_path / "out")["leave_one_budget_out"]
  assert [row["beyond"] for row in rows] == [False, False, False, True]
  assert 0.0005 < rows[-1]["error"] < 0.01


@pytest.mark.parametrize("bend", [-0.04, 0.0, 0.04])
def test_a_law_that_bends_is_told_before_it_is_believed(tmp_path, bend):
  points = study_points(noise=0.002)
  # -1 at the smallest budget, 1 at the largest.
  place = np.log(points.cost() / np.sqrt(BUDGETS[0] * BUDGETS[-1]))
  place /= place.max()
  loss = points.loss * np.exp(bend * place**2)
  path = write(tmp_path / "p.csv", points.params, points.tokens, loss)
  found = fit(path, tmp_path / "out")
  largest = found["leave_one_budget_out"][-1]
  told = [w for w in found["warnings"] if "bend away" in w]
  if bend:
    way = "too high" if bend < 0 else "too low"
    assert len(told) == 1 and told[0].count(way) == 2
    assert abs(largest["mean"]) > largest["chance"]
  else:
    assert not told and abs(largest["mean"]) < largest["chance"]


def broken(**columns):
  """A study's columns with some replaced."""
  points = study_points()
  return {
    "params": points.params,
    "tokens": points.tokens,
    "loss": points.loss,
  } | columns


def changed(name, row, value):
  column = list(broken()[name])
  column[row] = value
  return broken(**{name: column})


def doubled():
  return {k: [*v, v[4]] for k, v in broken().items()}


def of(**where):
  points = study_points(**where)
  return broken(params=points.params, tokens=points.tokens, loss=points.loss)


def crossed(params, tokens):
  """Every size on every number of tokens."""
  params, tokens = map(np.ravel, np.meshgrid(params, tokens))
  return broken(params=params, tokens=tokens, loss=LAW.loss(params, tokens))


def two_laws():
  """The smallest sizes do 5 % worse than the law of all others."""
  points = study_points(sizes=41, budgets=np.geomspace(1e13, 1e16, 8))
  small = points.params < 0.35 * optimum(LAW, Cost(), points.cost())[0]
  loss = np.where(small, 1.05 * points.loss, points.loss)
  return broken(params=points.params, tokens=points.tokens, loss=loss)


def together():
  params = np.geomspace(1e4, 1e7, 12)
  return broken(
    params=params, tokens=20 * params, loss=LAW.loss(params, 20 * params)
  )


def times(**factors):
  """A study in units of its own."""
  return broken(**{k: broken()[k] * factor for k, factor in factors.items()})


def with_flops(factor, row=5):
  columns = broken()
  flops = 6 * columns["params"] * columns["tokens"]
  flops[row] *= factor
  return columns | {"flops": flops}


@pytest.mark.parametrize(
  ("columns", "message"),
  (
    ({"params": [1e6], "loss": [2]}, "has no column tokens"),
    (broken(dropout=[0.1] * 28), "unknown column 'dropout'"),
    (changed("loss", 2, -1.5), "line 4: loss is -1.5"),
    (changed("loss", 2, "nan"), "line 4: loss is nan"),
    (changed("tokens", 0, "inf"), "line 2: tokens is inf"),
    (changed("params", 1, "70M"), "line 3: params is '70M'"),
    (changed("params", 1, 0.07), "mixed units in params"),
    (changed("tokens", 6, 2.5e13), "mixed units in tokens"),
    (with_flops(1e-6), "mixed units"),
    (with_flops(1e3), "mixed units"),
    (with_flops(1e-9, row=slice(None)), "flops is 10000, and no run has"),
    (with_flops(1e-4, row=slice(None)), "flops are 0.0006 x params x tokens"),
    (with_flops(1e3, row=slice(None)), "training takes about 6 x"),
    (times(params=1e-3), r"params is \d+.*, and no run has fewer than 1000"),
    (times(tokens=1e-5), "tokens is .* Give absolute counts"),
    (times(params=1e300), r"params is .*e.30\d, and no run"),
    (times(loss=1e-300), "loss is .*e-300"),
    (times(loss=1e300), "loss is .*e.300"),
    (doubled(), "the same cell"),
    (broken(diverged=["perhaps"] * 28), "diverged is 'perhaps'"),
    (broken(diverged=["true"] * 28), "no points are left"),
    (of(sizes=2), "only 8 points"),
    (of(budgets=[1e14], sizes=12), "1 budget"),
    (of(budgets=[1e14, 1e15]), "2 budget"),
    (
      crossed(SIXES, [1e7, 1e9]),
      r"6 level.* of params .* and 2 level.* of tokens \(1e\+07, 1e\+09\)",
    ),
    (crossed(SIXES, [1e7, 1.1e7, 1e9]), r"and 2 level\(s\) of tokens"),
    (crossed([1e5, 1e6], 1e3 * SIXES), r"2 level\(s\) of params"),
    (crossed([1e5], 100 * SIXES.repeat(2) * np.tile([1, 2], 6)), "1 level"),
    (of(centre=0.05), "no interior minimum: at each of 4 budgets the lowest"),
    (of(centre=20.0), "at the smallest of the sizes"),
    (together(), "do not vary apart"),
    (two_laws(), "the two fits disagree about"),
  ),
)
def test_bad_points_are_refused_and_nothing_is_written(
  tmp_path, columns, message
):
  rows = {k: v for k, v in columns.items() if k in ("params", "tokens", "loss")}
  others = {k: v for k, v in columns.items() if k not in rows}
  path = tmp_path / "points.csv"
  names = [*rows, *others]
  body = zip(*rows.values(), *others.values(), strict=True)
  lines = [",".join(names), *(",".join(map(str, row)) for row in body)]
  path.write_text("\n".join(lines) + "\n")
  with pytest.raises(UserError, match=message):
    command.main(flags_of(path, tmp_path / "out"))
  assert not (tmp_path / "out").exists()


def test_points_on_one_side_are_refused_without_budgets(tmp_path):
  # No three cells cost the same, so only the law can tell.
  params = np.geomspace(1e3, 1e4, 12)
  tokens = params * np.geomspace(1e4, 1e7, 12) ** np.tile([1.0, 1.1], 6)
  path = write(tmp_path / "p.csv", params, tokens, LAW.loss(params, tokens))
  with pytest.raises(UserError, match="one side of the minimum"):
    fit(path, tmp_path / "out")


@pytest.mark.parametrize(
  ("text", "message"),
  (
    ("", "has no column params"),
    ("params,tokens,loss\n", "has no points"),
    ("params,tokens,loss\n1e6,1e8\n", "line 2: 2 values for 3 columns"),
    ("params,tokens,loss,loss\n1e6,1e8,2,2\n", "has a column twice: loss"),
    ("params;tokens;loss\n1e6;1e8;2,5\n", "separated by semicolons"),
    ("params\ttokens\tloss\n1e6\t1e8\t2.5\n", "separated by tabs"),
    ("params,tokens,loss,\n1e6,1e8,2,\n", "unknown column ''"),
    ("params,tokens,loss\n1e6,,2\n", "line 2: tokens is ''; give a plain"),
    ("params,tokens,loss\n1e6,1e8,2e1000\n", "loss is 2e1000; it has to be"),
    ('params,tokens,loss\n"1e6,1e8,2\n', "not a CSV file"),
    ("params,tokens,loss\n1e6,1e8,2\n".encode("utf-16"), "not in UTF-8"),
    ("params,tokens,loss,groß\n".encode("latin-1"), "not in UTF-8 .at byte 22"),
    (b"params,tokens,loss\n1\x006,1e8,2\n", "is no text"),
    (b"params,tokens,loss\n" * 1_000_000, "larger than 16 MiB"),
    ("params,tokens,loss\n" + "1e6,1e8,2\n" * 2001, "2001 points, more than"),
    ("params,tokens,loss,group\n1e6,1e8,2,\x1b[2J\n", "give a short name"),
  ),
)
def test_files_that_hold_no_table_are_refused(tmp_path, text, message):
  path = tmp_path / "points.csv"
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(UserError, match=message):
    fit(path, tmp_path / "out")


@pytest.mark.parametrize(
  ("flags", "message"),
  (
    (["--without", "99"], "no point on that line"),
    (["--at", "1e8"], "PARAMS:TOKENS"),
    (["--at", "1e8:2e9:0"], "loss 0 is not from"),
    (["--at", "nan:2e9"], "params nan is not from"),
    (["--at", "70:1.4e3"], "params 70 is not .* absolute counts"),
    (["--at", "1e6:1e20"], "1e.20 tokens, where the points have"),
    (["--budgets", "lots"], "'lots': give a number"),
    (["--budgets=-1e9"], "give a number from 1e.06"),
    (["--budgets", "1e14,inf"], "'inf': give a number"),
    (["--budgets", "1e30"], "1e.30 FLOPs, where the points have"),
    (["--without", "2.5"], "'2.5': give a whole number"),
    (["--resamples", "99"], "--resamples: '99': give a whole number from 100"),
    (["--resamples", "1e9"], "whole number"),
    (["--seed", "-1"], "--seed: '-1': give a whole number from 0"),
  ),
)
def test_wrong_flags_are_refused(tmp_path, flags, message):
  path = write_study(tmp_path / "p.csv")
  with pytest.raises(UserError, match=message):
    fit(path, tmp_path / "out", *flags)


def test_what_fit_reads_is_not_what_it_writes(tmp_path):
  (tmp_path / "out").mkdir()
  path = write_study(tmp_path / "out" / "report.html")
  before = path.read_bytes()
  (tmp_path / "link").symlink_to(tmp_path / "out")
  with pytest.raises(UserError, match="is what the command reads"):
    fit(path, tmp_path / "link")
  assert path.read_bytes() == before


def test_places_that_cannot_be_written_are_refused_before_the_fit(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(command, "fit_groups", None)
  path = write_study(tmp_path / "p.csv")
  (tmp_path / "file").write_text("")
  for out in ("file", "a" * 300):
    with pytest.raises(UserError, match="--out"):
      fit(path, tmp_path / out)
  with pytest.raises(UserError, match="no ordinary file"):
    fit(tmp_path, tmp_path / "out")


def test_names_may_be_any_bytes_and_marks_of_order_are_no_part(tmp_path):
  path = write_study(tmp_path / os.fsdecode(b"caf\xe9.csv"), noise=0.001)
  path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
  command.main(flags_of(path, tmp_path / os.fsdecode(b"\xe9")))
  report = tmp_path / os.fsdecode(b"\xe9") / "report.html"
  assert r"caf\xe9.csv" in report.read_text(encoding="utf-8")


def test_a_file_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match="nothing.csv: No such file"):
    fit(tmp_path / "nothing.csv", tmp_path / "out")


def test_warm_resamples_end_where_a_full_grid_of_starts_does():
  points = study_points(noise=0.003)
  weights = np.random.default_rng(0).multinomial(28, np.full(28, 1 / 28))
  kept = points[np.repeat(np.arange(28), weights)]
  cold = huber.fit_huber(kept)
  problem = huber.Problem(points)
  start_RK = huber.fit_huber(points).theta_K[None]
  warm = huber.solve(problem, start_RK, weights[None].astype(float))
  assert warm[1][0] == pytest.approx(cold.objective, rel=1e-6)
