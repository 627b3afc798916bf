"""A trace is read right, and told as shares that add up."""

import collections
import re

import jax
import jax.numpy as jnp
import pytest
from tiny import run_config, train

from eartalk_jax.errors import UserError
from eartalk_jax.telemetry.breakdown import IDLE, Breakdown
from eartalk_jax.telemetry.events import read_events
from eartalk_jax.telemetry.operation_kinds import (
  COLLECTIVE,
  COPY,
  MATMUL,
  REST,
  TRANSFER,
  Instructions,
)
from eartalk_jax.telemetry.profiling import parse_steps
from eartalk_jax.telemetry.trace import (
  Operation,
  busy_time,
  operations,
  self_times,
)

PROGRAM = """HloModule jit_step, is_scheduled=true

%fused (p: f32[2,2]) -> f32[2,2] {
  %p = f32[2,2]{1,0} parameter(0)
  %dot.1 = f32[2,2]{1,0} dot(%p, %p), lhs_contracting_dims={1}
  ROOT %add.1 = f32[2,2]{1,0} add(%dot.1, %p)
}

%moved (p.1: f32[2,2]) -> f32[2,2] {
  %p.1 = f32[2,2]{1,0:T(8,128)S(1)} parameter(0)
  ROOT %transpose.1 = f32[2,2]{1,0} transpose(%p.1), dimensions={1,0}
}

ENTRY %main (x: f32[2,2]) -> (f32[2,2], f32[2,2]) {
  %x = f32[2,2]{1,0} parameter(0)
  %fusion.1 = f32[2,2]{1,0} fusion(%x), kind=kOutput, calls=%fused, \
metadata={op_name="jit(step)/jvp(Talker.hidden)/backbone/layers/while/body/\
closed_call/layers._rest/mlp/up/dot_general"}
  %copy_fusion = f32[2,2]{1,0} fusion(%x), kind=kLoop, calls=%moved
  %exponential.3 = f32[2,2]{1,0} exponential(%x), \
metadata={op_name="jit(step)/transpose(jvp(Talker.use_head))/head/exp"}
  %all-reduce-start.2 = (f32[2,2]{1,0:T(8,128)}, f32[2,2]{1,0}) \
all-reduce-start(%x, %x), to_apply=%sum
  %cublas.7 = (f32[2,2]{1,0}, s8[4]{0}) custom-call(%x), \
custom_call_target="__cublas$gemm"
  %infeed.1 = (f32[2,2]{1,0}, token[]) infeed(%token)
  ROOT %tuple.9 = (f32[2,2]{1,0}, f32[2,2]{1,0}) tuple(%x, %x)
}
"""


def test_an_operation_is_what_is_fused_into_it():
  found = Instructions(PROGRAM)
  kinds = {
    "fusion.1": MATMUL,
    "copy_fusion": COPY,
    "exponential.3": REST,
    "all-reduce-start.2": COLLECTIVE,
    "cublas.7": MATMUL,
    "infeed.1": TRANSFER,
    "ncclDevKernel_AllGather": COLLECTIVE,
    "MemcpyD2H": TRANSFER,
    "sm90_xmma_gemm_bf16": MATMUL,
    "nobody_knows": REST,
  }
  assert {name: found[name].kind for name in kinds} == kinds
  assert found["fusion.1"].part == "backbone/layers/mlp"
  assert found["exponential.3"].part == "head (backward)"


def test_the_program_that_jax_compiles_is_understood():
  def step(x_BD, w_DD):
    return jnp.sum(jax.nn.softmax(x_BD @ w_DD))

  x = jnp.ones((64, 64))
  text = jax.jit(jax.grad(step)).lower(x, x).compile().as_text()
  dots = re.findall(r"%(\S*) = \S+ (?:dot|custom-call)\(", text)
  assert dots
  found = Instructions(text)
  assert {found[name].kind for name in dots} == {MATMUL}


Event = collections.namedtuple("Event", "name start_ns duration_ns stats")
Line = collections.namedtuple("Line", "name events")
Plane = collections.namedtuple("Plane", "name lines")


def test_every_platform_has_its_lines():
  """No accelerator here: what their traces look like is XProf's word."""
  op = Event("kernel", 0, 5, [("hlo_op", "dot.1"), ("device_ordinal", 2)])
  other = Event("ThunkExecutor::Execute", 0, 9, [])
  text = Event("%fusion.1 = f32[2]{0} fusion(%x)", 3, 4, [])
  copied = Event("MemcpyD2H", 1, 2, [("size", 8)])
  planes = [
    Plane("/host:CPU", [Line("thread", [op, other])]),
    Plane("/device:TPU:0", [Line("XLA Ops", [text]), Line("Steps", [text])]),
    Plane("/device:GPU:1", [Line("Stream #7(Compute)", [op, copied])]),
    Plane("/host:metadata", [Line("python", [op])]),
  ]
  assert [(o.name, o.device) for o in operations(planes)] == [
    ("dot.1", "cpu 2"),
    ("fusion.1", "/device:TPU:0"),
    ("dot.1", "/device:GPU:1"),
    ("MemcpyD2H", "/device:GPU:1"),
  ]


def test_self_times_leave_out_what_is_inside():
  spans = [("while", 0, 100), ("a", 10, 40), ("b", 20, 30), ("a", 50, 90)]
  found = [Operation(n, "d", "lane", b, e) for n, b, e in spans]
  found += [Operation("beside", "d", "other lane", 80, 130)]
  own = collections.Counter()
  for operation, time in self_times(found):
    own[operation.name] += time
  assert own == {"while": 30, "a": 60, "b": 10, "beside": 50}
  assert busy_time(found) == {"d": 130}


def test_shares_add_up_and_idle_time_is_told():
  found = [
    Operation("fusion.1", "0", "x", 0, 40e6),
    Operation("exponential.3", "0", "x", 60e6, 80e6),
    Operation("fusion.1", "1", "x", 20e6, 100e6),
  ]
  told = Breakdown(found, PROGRAM, steps=2)
  assert told.step_seconds == pytest.approx(0.05)
  kinds = {MATMUL: 120 / 200, REST: 20 / 200, IDLE: 60 / 200}
  assert told.by_kind == pytest.approx(kinds)
  assert sum(told.by_part.values()) == pytest.approx(1)
  assert re.search(rf"{MATMUL} +30\.000 +60\.0%", told.text)
  # Side by side on one device, two take the time of one.
  found = [Operation("fusion.1", "0", lane, 0, 10) for lane in "ab"]
  assert Breakdown(found, PROGRAM, 1).by_kind[MATMUL] == pytest.approx(1)


def test_a_run_is_profiled_and_goes_on_with_the_same_bits(tmp_path, capsys):
  plain = train(tmp_path / "plain")
  state = train(tmp_path / "traced", profile=(3, 5))
  for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(state), strict=True):
    assert jnp.array_equal(a, b)
  text = (tmp_path / "traced/profile/breakdown.txt").read_text()
  assert text.startswith("steps 3 to 5: ") and "mean of 8 devices" in text
  assert MATMUL in text and COLLECTIVE in text and "optimizer" in text
  runs = re.search(rf"^(\S+) +(\S+)  {COLLECTIVE};", text, re.MULTILINE)
  assert float(runs.group(2)) == 1, "all of each step, and no other"
  assert "steps 3 to 5: " in capsys.readouterr().out
  events = read_events(tmp_path / "traced")
  phases = [
    event["step"] for event in events if event.get("phase") == "profile"
  ]
  assert phases == [2, 2, 5, 5]


def test_a_profile_of_the_last_steps_or_of_done_ones(tmp_path, capsys):
  train(tmp_path, run_config(steps=12), profile=(12, 12))
  assert (tmp_path / "profile/breakdown.txt").exists()
  with pytest.raises(UserError, match="ends with step 13, but run.steps is 12"):
    train(tmp_path / "other", run_config(steps=12), profile=(3, 13))
  assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
  "text", ["3..5", "steps=5..3", "steps=0..3", "steps=3"]
)
def test_steps_written_otherwise_are_refused(text):
  assert parse_steps("steps=3..5") == (3, 5) and parse_steps(None) is None
  with pytest.raises(UserError, match="write steps=FIRST..LAST"):
    parse_steps(text)
