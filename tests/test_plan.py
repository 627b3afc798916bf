"""The planner: what a ladder is, and when there is none."""

import dataclasses
import itertools
import json
import math

import pytest
import talkers

from configs import base, demo_masked, scaling
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.scaling import flops
from eartalk_jax.scaling.cells import Machine, cell_config, trunk_config
from eartalk_jax.scaling.ladder import Ladder, LadderConfig
from eartalk_jax.scaling.law import Law
from eartalk_jax.scaling.plan import plan
from eartalk_jax.training.train_config import TrainConfig

_MACHINE = Machine("h100", 2, 1e15, 0.4, 80e9)
_BUDGETS = (2e11, 3.6e11, 6.4e11, 1.15e12)


def planned(
  budgets=_BUDGETS,
  checks=(),
  law=None,
  module=scaling,
  machine=_MACHINE,
  batch=None,
  transfer=0,
  **rule,
):
  config = talkers.shipped(module).to_dict()
  settings = config.pop("sweep", scaling.get_config().to_dict()["sweep"])
  config["run"]["batch_size"] = batch or config["run"]["batch_size"]
  config["run"]["ema_decay"] = 0.9
  config["run"]["optimizer"]["warmup_steps"] = 20
  optimizer = config["run"]["optimizer"]
  optimizer["base_width"] = optimizer["base_head_width"] = transfer
  config = from_config(TrainConfig, config)
  rule = from_config(LadderConfig, settings["ladder"] | rule)
  ladder = Ladder(config.model, rule)
  return plan(config, ladder, rule, budgets, checks, machine, 67_812, law)


def by_budget(cells):
  groups = {}
  for cell in cells:
    groups.setdefault(cell.budget, []).append(cell)
  return groups


@pytest.mark.parametrize("each_side", [3, 4])
def test_every_budget_has_its_sizes_around_the_expected_optimum(each_side):
  cells = planned((4e11, 6e11), each_side=each_side)
  assert {name: len(group) for name, group in by_budget(cells).items()} == (
    dict.fromkeys(("4e11", "6e11"), 2 * each_side + 1)
  )
  for group in by_budget(cells).values():
    ratios = [math.log(c.frames / c.params / 0.28) for c in group]
    middle = min(range(len(group)), key=lambda i: abs(ratios[i]))
    assert middle == each_side
    # Log-centred: as far down as up, within what whole widths allow.
    sizes = [math.log(cell.params) for cell in group]
    down, up = sizes[middle] - sizes[0], sizes[-1] - sizes[middle]
    assert abs(down - up) < math.log(1.4)
    assert min(down, up) > (each_side - 0.5) * math.log(1.4)


@pytest.mark.parametrize("module", [scaling, demo_masked])
def test_a_cell_costs_what_its_budget_says_and_the_closed_form_counts(module):
  config = talkers.shipped(module).to_dict()
  config.pop("sweep", None)
  budgets = _BUDGETS if module == scaling else (4e12, 8e12)
  for cell in planned(
    budgets, module=module, batch=config["run"]["batch_size"]
  ):
    mine = from_config(TrainConfig, cell_config(config, cell))
    assert flops.law_parameters(mine.model) == cell.params
    assert sum(flops.parameters(mine.model).values()) == cell.all_params
    each = sum(flops.training_flops(mine.model, mine.data.frames).values())
    assert cell.frames * each == pytest.approx(cell.flops, rel=1e-12)
    assert cell.flops == pytest.approx(float(cell.budget), rel=0.02)
    run = mine.run
    assert cell.frames == run.steps * run.batch_size * mine.data.frames
    assert cell.tokens == cell.frames * mine.model.tokens


def test_n_is_backbone_and_head_without_embeddings_and_conditions():
  cfg = from_config(TalkerConfig, talkers.shipped(base).model)
  counts = flops.parameters(cfg)
  apart = ("embedding", "audio", "controls")
  rest = sum(counts.values()) - sum(counts[part] for part in apart)
  assert flops.law_parameters(cfg) == rest
  more = dataclasses.replace(cfg.audio, bins=2048)
  loud = dataclasses.replace(cfg, audio=more)
  assert flops.parameters(loud)["audio"] > counts["audio"]
  assert flops.law_parameters(loud) == flops.law_parameters(cfg)


def test_budgets_share_their_sizes_and_a_size_its_trunk():
  cells = planned(checks=(4.6e12,))
  sizes = {}
  for cell in cells:
    sizes.setdefault(cell.size, []).append(cell)
  assert len(sizes) < len(cells) / 2
  config = scaling.get_config().to_dict()
  del config["sweep"]
  for mates in sizes.values():
    assert len({(c.params, c.width, c.lr, c.batch, c.seed) for c in mates}) == 1
    # A size is paid for once: the last trunk and all cool-downs.
    spent = sum(cell.spent / cell.flops * cell.steps for cell in mates)
    falls = sum(cell.steps - cell.branch for cell in mates)
    assert spent == pytest.approx(max(c.branch for c in mates) + falls)
    for cell in mates:
      fall = (cell.steps - cell.branch) / cell.steps
      assert 0.2 <= fall < 0.2 + 1 / cell.steps
      whole, trunk = cell_config(config, cell), trunk_config(config, cell)
      # One run so far: nothing but the rate's future differs.
      for one in (whole, trunk):
        optimizer = one["run"].pop("optimizer")
        for name in ("decay", "decay_steps"):
          del optimizer[name]
        for name in ("steps", "keep", "keep_every", "save_every"):
          one["run"].pop(name)
        one["run"]["optimizer"] = optimizer
      assert whole == trunk
  [check] = [cell for cell in cells if cell.check]
  assert check.flops == pytest.approx(4.6e12, rel=0.02)
  assert check.hours == _MACHINE.hours(check.spent)


def test_depth_and_heads_keep_the_proportions_of_the_reference():
  cells = planned((1e20, 4e20), module=base, batch=64, unit=64, head_dim=64)
  config = base.get_config()
  for cell in cells:
    for width, depth, heads, part in (
      (cell.width, cell.depth, cell.heads, config.model),
      (cell.head_width, cell.head_depth, cell.head_heads, config.model.head),
    ):
      assert abs(depth - width * part.depth / part.width) <= 0.5
      assert 48 <= width / heads <= 96
  assert len({cell.depth for cell in cells}) > 3


def test_a_shallow_reference_has_sizes_at_any_budget():
  cells = planned((1e15, 3e15, 1e18), batch=64)
  assert {len(group) for group in by_budget(cells).values()} == {7}
  assert len({cell.name for cell in cells}) == len(cells)
  by_size = {cell.size: cell for cell in cells}
  sizes = [by_size[number] for number in sorted(by_size)]
  for small, large in itertools.pairwise(sizes):
    if large.size == small.size + 1:
      assert 1.4**0.5 < large.params / small.params < 1.4**1.5
  # One layer for 96 of width in the reference, within a factor of two.
  assert all(48 < cell.width / cell.depth < 192 for cell in sizes)
  assert all(cell.width == 32 * cell.heads for cell in sizes if cell.heads > 4)


def test_a_law_that_was_fitted_before_moves_the_ladder():
  # Best where D = 1.8 N tokens, were FLOPs 6 N D; the rule expects 4.5 N.
  law = Law(E=0.1, A=1.0, B=1.2, alpha=0.3, beta=0.3)
  cells = planned((2e11, 3e11), law=law)
  assert cells[3].params > planned((2e11, 3e11))[3].params
  for group in by_budget(cells).values():
    losses = [law.loss(cell.params, cell.tokens) for cell in group]
    assert min(range(7), key=losses.__getitem__) == 3


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"budgets": (1e9, 4e9)}, "1e9: the expected optimum .* lower edge"),
    ({"least_steps": 2000}, "too small: it pays for .* fewer than .* 2000"),
    (
      {"budgets": (1e22, 1e24), "unit": 64, "module": base, "spacing": 1.5},
      "1e22 is too large: .* take more devices",
    ),
    ({"budgets": (1e12,)}, "one budget tells nothing"),
    ({"budgets": (1e12, 1e12)}, "1e12 is named twice"),
    ({"budgets": (1e12, -1e12)}, "must be positive"),
    ({"budgets": (1e12, math.nan)}, "must be positive"),
    (
      {"budgets": (1e12, 1e33)},
      "1e33: 4e.10 years of 2 x h100; is it in FLOPs",
    ),
    ({"checks": (1e33,)}, "1e33: 4e.10 years"),
    ({"spacing": 1.0 + 1e-9}, "spacing is .*; give 1.01 to 100"),
    ({"spacing": math.nan}, "spacing is nan; give"),
    ({"each_side": 10**9}, "each_side is .*; give 3 to 100"),
    ({"frames_per_param": 1e-300}, "frames_per_param is .*; give"),
    ({"lr_power": math.inf}, "lr_power is inf; give"),
    # A law that wants all compute in size: the grid ends at one step.
    ({"law": Law(0.1, 1.0, 1e-300, 0.3, 0.3)}, "too small: it pays for"),
    ({"checks": (1e12,)}, "must be larger than every budget"),
    ({"each_side": 2}, "at least 3"),
    ({"cooldown": 0.01}, "reaches back beyond the cool-down"),
    ({"budgets": (1e12, 1e14), "unit": 512}, "smaller ladder.unit"),
    ({"transfer": 48}, "ladder.unit must be a multiple of ladder.head_dim"),
    ({"transfer": 32, "unit": 32, "lr_power": 0.5}, "lr_power must be 0"),
  ],
)
def test_what_cannot_be_planned_is_refused_with_its_reason(changes, message):
  with pytest.raises(UserError, match=message):
    planned(**changes)


def test_a_plan_is_a_function_of_its_arguments():
  first, again = (json.dumps(list(map(to_dict, planned()))) for _ in range(2))
  assert first == again
