"""What is read off the text of compiled programs."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from eartalk_jax.hlo import groups
from eartalk_jax.hlo import module as hlo

_SHAPE = {"data": 2, "fsdp": 4}


def _analysed(function, *args, devices=1):
  text = jax.jit(function).lower(*args).compile().as_text()
  return hlo.analyse(text, devices)


def test_a_scanned_body_counts_as_often_as_it_runs():
  x = jnp.ones((64, 64))

  def power(x, length):
    return jax.lax.scan(lambda c, _: (c @ c, None), x, None, length=length)[0]

  seven = _analysed(partial(power, length=7), x)
  assert seven.flops == 7 * 2 * 64**3
  # At least both factors and the product of every turn.
  assert seven.bytes >= 7 * 3 * x.nbytes
  fifty = _analysed(partial(power, length=50), x)
  assert fifty.flops == 50 * 2 * 64**3
  assert fifty.bytes / seven.bytes == pytest.approx(50 / 7, rel=0.15)


def test_products_and_convolutions_are_counted_as_the_compiler_counts_them():
  image, kernel = jnp.ones((2, 28, 9)), jnp.ones((3, 9, 5))

  def convolved(image, kernel):
    return jax.lax.conv_general_dilated(
      image, kernel, (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )

  # 14 outputs of 3 taps, of which one hangs over the margin.
  assert _analysed(convolved, image, kernel).flops == 2 * 2 * 41 * 9 * 5

  def batched(x, y):
    return jnp.einsum("bij,bjk->bik", x, y)

  x, y = jnp.ones((3, 8, 16)), jnp.ones((3, 16, 4))
  compiled = jax.jit(batched).lower(x, y).compile()
  ours = hlo.analyse(compiled.as_text(), 1).flops
  assert ours == compiled.cost_analysis()["flops"] == 3 * 2 * 8 * 16 * 4


def test_products_of_more_digits_count_every_pass_of_theirs():
  line = "%y = f32[8,8]{1,0} dot(%x, %x), lhs_contracting_dims={1}, "
  line += "rhs_contracting_dims={0}"
  text = """HloModule it
ENTRY %main (x: f32[8,8]) -> f32[8,8] {
  %x = f32[8,8]{1,0} parameter(0)
  ROOT LINE
}
"""
  for asked, passes in (("", 1), ("high,high", 3), ("default,highest", 6)):
    told = f"{line}, operand_precision={{{asked}}}" if asked else line
    program = hlo.analyse(text.replace("LINE", told), 1)
    assert program.flops == passes * 2 * 8**3


@pytest.mark.parametrize(
  "kind, axis, sent",
  [
    # Ring forms, of 1 MiB in float32: an all-reduce goes round twice.
    ("all-reduce", "fsdp", 2 * 2**20 * 3 / 4),
    ("all-reduce", "data", 2 * 2**20 / 2),
    ("all-gather", "fsdp", 4 * 2**20 * 3 / 4),
    ("collective-permute", "data", 2**20),
  ],
)
def test_collectives_have_kind_axes_and_bytes(kind, axis, sent):
  mesh = jax.make_mesh(
    tuple(_SHAPE.values()),
    tuple(_SHAPE),
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
  )
  per_device = P(("data", "fsdp"))
  x = jax.ShapeDtypeStruct(
    (8 * 512, 512), jnp.float32, sharding=NamedSharding(mesh, per_device)
  )
  body = {
    "all-reduce": lambda x: jax.lax.psum(x, axis),
    "all-gather": lambda x: jax.lax.all_gather(x, axis, tiled=True).sum() + x,
    "collective-permute": lambda x: jax.lax.ppermute(x, axis, [(0, 1), (1, 0)]),
  }[kind]
  mapped = jax.shard_map(
    body, mesh=mesh, in_specs=per_device, out_specs=per_device, check_vma=False
  )

  def repeated(x):
    return jax.lax.scan(lambda c, _: (mapped(c), None), x, None, length=3)[0]

  program = _analysed(repeated, x, devices=8)
  (found,) = program.collectives
  assert (found.kind, found.sent, found.times) == (kind, sent, 3)
  assert groups.axes(list(found.group), _SHAPE) == (axis,)


@pytest.mark.parametrize(
  "text, expected",
  [
    ("replica_groups={{0,2},{1,3}}, x", [[0, 2], [1, 3]]),
    ("replica_groups=[2,2]<=[4]", [[0, 1], [2, 3]]),
    ("replica_groups=[2,2]<=[2,2]T(1,0)", [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a'}", [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'b'}", [[0, 1], [2, 3]]),
    ("replica_groups=mesh['a'=4] {'a':(2)2}", [[0, 1], [2, 3]]),
    ("replica_groups=mesh['a'=4] {'a':(1)2}", [[0, 2], [1, 3]]),
    ("source_target_pairs={{0,1},{1,0}}", [[0, 1], [1, 0]]),
    ("replica_groups={}, x", [[0, 1, 2, 3]]),
  ],
)
def test_groups_are_read_however_they_are_written(text, expected):
  assert groups.groups(text, 4) == expected


def test_a_group_lies_along_the_axes_in_which_its_devices_differ():
  shape = {"data": 2, "fsdp": 2, "tensor": 2}
  assert groups.axes([0, 4], shape) == ("data",)
  assert groups.axes([0, 1, 4, 5], shape) == ("data", "tensor")
  assert groups.axes([3], shape) == ()


# As the TPU's compiler writes them: counted loops, memory spaces, slices.
# ruff: noqa: E501
_TPU_TEXT = """HloModule jit_f

%condition (p.0: (s32[], f32[8,256])) -> pred[] {
  %p.0 = (s32[]{:T(128)}, f32[8,256]{1,0:T(8,128)}) parameter(0)
  %limit = s32[]{:T(128)} constant(5)
  %turn = s32[]{:T(128)} get-tuple-element(%p.0), index=0
  ROOT %less = pred[]{:T(512)} compare(%turn, %limit), direction=LT
}

%sliced (p.1: f32[8,256], p.2: s32[]) -> f32[1,256] {
  %p.1 = f32[8,256]{1,0:T(8,128)} parameter(0)
  %p.2 = s32[]{:T(128)} parameter(1)
  ROOT %slice = f32[1,256]{1,0:T(1,128)S(1)} dynamic-slice(%p.1, %p.2, %p.2), dynamic_slice_sizes={1,256}
}

%body (p.3: (s32[], f32[8,256])) -> (s32[], f32[8,256]) {
  %p.3 = (s32[]{:T(128)}, f32[8,256]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p.3), index=0
  %x = f32[8,256]{1,0:T(8,128)} get-tuple-element(%p.3), index=1
  %row = f32[1,256]{1,0:T(1,128)S(1)} fusion(%x, %i), kind=kLoop, calls=%sliced
  %sum = f32[1,256]{1,0:T(1,128)S(1)} all-reduce(%row), replica_groups=mesh['a'=4] {'a'}, to_apply=%add
  ROOT %out = (s32[]{:T(128)}, f32[8,256]{1,0:T(8,128)}) tuple(%i, /*index=1*/%x)
}

ENTRY %main (x.1: f32[8,256]) -> f32[8,256] {
  %x.1 = f32[8,256]{1,0:T(8,128)} parameter(0)
  %zero = s32[]{:T(128)} constant(0)
  %begin = (s32[]{:T(128)}, f32[8,256]{1,0:T(8,128)}) tuple(%zero, %x.1)
  %loop = (s32[]{:T(128)}, f32[8,256]{1,0:T(8,128)}) while(%begin), condition=%condition, body=%body
  ROOT %result = f32[8,256]{1,0:T(8,128)} get-tuple-element(%loop), index=1
}
"""


def test_a_tpu_program_reads_slices_and_keeps_fast_memory_apart():
  program = hlo.analyse(_TPU_TEXT, 4)
  # The loop turns 5 times and reads one row of main memory each time, and the
  # counter; the row itself goes to fast memory.
  assert program.bytes == 5 * (256 * 4 + 4)
  (reduced,) = program.collectives
  assert (reduced.times, reduced.payload, reduced.group) == (
    5,
    1024,
    (0, 1, 2, 3),
  )


def test_attributes_of_a_kernel_may_break_its_line():
  line = "  %turned = f32[8,256]{1,0:T(8,128)} get-tuple-element(%p.3), "
  end = "  %sum ="
  whole, parted = (
    _TPU_TEXT.replace(end, line + "index=1" + more + "\n" + end)
    for more in ("", ', kernel={\n"a":"b"\n}, x={}')
  )
  assert hlo.analyse(parted, 4) == hlo.analyse(whole, 4)


def test_what_another_core_of_a_tpu_does_goes_on_beside_the_rest():
  begin = _TPU_TEXT.index("  %sum =")
  end = _TPU_TEXT.index("\n", begin)
  # As TPU v7x hands all-reduces to its sparse cores, between two computations.
  core = """%elsewhere (p.4: f32[1,256]) -> f32[1,256] {
  %p.4 = f32[1,256]{1,0:T(1,128)S(1)} parameter(0), backend_config={"used_scoped_memory_configs":[]}
  ROOT %sum.1 = f32[1,256]{1,0:T(1,128)S(1)} all-reduce(%p.4), replica_groups=mesh['a'=4] {'a'}, to_apply=%add
}, execution_thread="sparsecore"

"""
  start = """  %sum.call-start = ((f32[1,256]{1,0:T(1,128)S(1)}), f32[1,256]{1,0:T(1,128)S(1)}) call-start(%row), async_execution_thread="sparsecore", to_apply=%elsewhere
  %sum = f32[1,256]{1,0:T(1,128)S(1)} call-done(%sum.call-start)"""
  text = _TPU_TEXT[:begin] + start + _TPU_TEXT[end:]
  text = text.replace("%sliced (", core + "%sliced (")
  here, there = hlo.analyse(_TPU_TEXT, 4), hlo.analyse(text, 4)
  assert here.bytes == there.bytes
  (waiting,), (beside,) = here.collectives, there.collectives
  assert beside == dataclasses.replace(waiting, waits=False)


def test_a_loop_of_unknown_length_is_an_error():
  text = _TPU_TEXT.replace("direction=LT", "direction=NE")
  with pytest.raises(ValueError, match="turns"):
    hlo.analyse(text, 4)


def test_what_a_tpu_sends_to_other_slices_is_a_collective_of_no_group():
  text = """HloModule jit_f

ENTRY %main (p: f32[64,8,128]) -> f32[64,8,128] {
  %p = f32[64,8,128]{2,1,0:T(8,128)} parameter(0)
  %begin = token[] after-all()
  %send = (f32[64,8,128]{2,1,0:T(8,128)}, u32[], token[]) send(%p, %begin), channel_id=2, is_host_transfer=true, frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime",_xla_megascale_target="{1,2}x{0:3}",_xla_megascale_transfer_type="ALL_REDUCE"}
  %sent = token[] send-done(%send), channel_id=2, is_host_transfer=true
  ROOT %out = f32[64,8,128]{2,1,0:T(8,128)} copy(%p)
}
"""
  (found,) = hlo.analyse(text, 8).collectives
  assert found == hlo.Collective("all-reduce", (), 64 * 8 * 128 * 4, 1, False)
  assert found.sent == 2 * found.payload
