"""What the proof says: a table for people, a dictionary for programs."""

import importlib.metadata

from eartalk_jax.aot import roofline as rooflines
from eartalk_jax.scaling.flops import sampling_flops, training_flops

_GIB = 2**30


def train_report(config, compiled, topology):
  """Everything known of a train step: {name: plain value}.

  Args:
    config: has `model`, `data.frames` and `run`.
    compiled: compiling.Compiled.
    topology: Topology.
  """
  model, run, frames = config.model, config.run, config.data.frames
  latent_frames = run.batch_size * frames
  parts = {
    part: flops * latent_frames
    for part, flops in training_flops(model, frames).items()
  }
  return report(compiled, topology, parts) | {
    "mesh": dict(compiled.mesh.shape),
    "latent_frames_per_step": latent_frames,
    "knob": None if compiled.memory.fits else knob(config, compiled),
  }


def frame_report(config, compiled, topology, streams=1):
  """The same of a streamed latent of some streams on one device."""
  parts = sampling_flops(config.model)
  parts = {part: flops * streams for part, flops in parts.items()}
  return report(compiled, topology, parts)


def report(compiled, topology, parts):
  """The same of any program.

  Args:
    compiled: compiling.Compiled.
    topology: Topology.
    parts: {part: FLOPs that the mathematics needs}.
  """
  memory, chip = compiled.memory, topology.chip
  out = {
    "topology": topology.name,
    "devices": compiled.mesh.size,
    "params": compiled.parameters,
    "params_per_device": compiled.parameters_per_device,
    "hbm_state_gib": compiled.held / _GIB,
    "hbm_arguments_gib": memory.arguments / _GIB,
    "hbm_temporaries_gib": memory.temporaries / _GIB,
    "hbm_outputs_gib": memory.outputs / _GIB,
    "hbm_code_gib": memory.code / _GIB,
    "hbm_peak_gib": memory.peak / _GIB,
    "hbm_limit_gib": memory.limit / _GIB,
    "hbm_free_share": 1 - memory.peak / memory.limit,
    "fits": memory.fits,
    "model_flops_per_step": sum(parts.values()),
    "model_flops_by_part": parts,
    "peak_flops_per_device": chip.peak_flops,
    "peak_source": chip.source,
  }
  if compiled.program is None:
    return out | dict.fromkeys(
      (
        "hardware_flops_per_step",
        "hbm_bytes_per_device",
        "collective_bytes",
        "step_seconds_estimate",
        "mfu_estimate",
        "bound_by",
      )
    )
  program = compiled.program
  roofline = rooflines.roofline(program, topology, compiled.mesh)
  at_peak = sum(parts.values()) / compiled.mesh.size / chip.peak_flops
  return out | {
    "hardware_flops_per_step": program.flops * compiled.mesh.size,
    "hbm_bytes_per_device": program.bytes,
    "collective_bytes": sum(c.sent * c.times for c in program.collectives),
    "collectives": [
      {
        "kind": traffic.kind,
        "axes": "+".join(traffic.axes),
        "count": traffic.count,
        "ici_bytes": traffic.ici_bytes,
        "dcn_bytes": traffic.dcn_bytes,
        "seconds": traffic.seconds,
        "exposed_seconds": traffic.exposed,
      }
      for traffic in roofline.traffic
    ],
    "seconds_compute": roofline.compute,
    "seconds_memory": roofline.memory,
    "seconds_ici": roofline.ici,
    "seconds_dcn": roofline.dcn,
    "step_seconds_optimistic": roofline.optimistic,
    "step_seconds_estimate": roofline.estimate,
    "step_seconds_pessimistic": roofline.pessimistic,
    "bound_by": roofline.bound_by,
    "mfu_optimistic": at_peak / roofline.optimistic,
    "mfu_estimate": at_peak / roofline.estimate,
    "mfu_pessimistic": at_peak / roofline.pessimistic,
    "slowest": slowest(program, chip),
  }


def slowest(program, chip, count=8):
  """Where the estimate's seconds go: the largest groups of operations."""
  seconds = {}
  for work in program.work:
    times = (
      work.flops / chip.peak_flops,
      work.bytes / chip.hbm_bytes_per_second,
    )
    place = "/".join(work.source.split("/")[-3:]) or work.opcode
    kind = "compute" if times[0] >= times[1] else "memory"
    if work.waits:
      place = (place, kind)
      seconds[place] = seconds.get(place, 0.0) + max(times) * work.times
  largest = sorted(seconds.items(), key=lambda item: -item[1])[:count]
  return [
    {"where": where, "waits_for": kind, "seconds": spent}
    for (where, kind), spent in largest
  ]


def knob(config, compiled):
  """What to change first so that a train step fits."""
  memory, run, model = compiled.memory, config.run, config.model
  mesh = compiled.mesh.shape
  if compiled.held > memory.limit / 3 and mesh["data"] > 1:
    return (
      f"raise config.run.mesh.fsdp from {mesh['fsdp']}: parameters, moments "
      f"and average take {compiled.held / _GIB:.1f} GiB of each device"
    )
  batch = memory.arguments - compiled.held
  if batch > memory.limit / 3:
    return (
      f"lower config.run.batch_size from {run.batch_size}: the batch alone "
      f"takes {batch / _GIB:.1f} GiB of each device"
    )
  if not model.remat:
    return "set config.model.remat=True: activations of all layers are kept"
  rows = run.batch_size // (mesh["data"] * mesh["fsdp"])
  if rows > run.accumulate:
    return (
      f"lower config.run.batch_size from {run.batch_size}, or raise "
      f"config.run.accumulate: each device has {rows} clips at once"
    )
  if model.head.draws > 1:
    return (
      f"lower config.model.head.draws from {model.head.draws}: the head keeps "
      "the activations of all of them"
    )
  return (
    "raise config.run.mesh.context or config.run.mesh.tensor: one clip is too "
    "much for a device"
  )


def text(r, title):
  """A report for people."""
  gib = {name: r[f"hbm_{name}_gib"] for name in ("peak", "limit")}
  lines = [
    title,
    f"  devices        {r['devices']} of {r['topology']}"
    + (f", mesh {_mesh(r['mesh'])}" if "mesh" in r else ""),
    f"  parameters     {r['params'] / 1e6:,.1f} M, "
    f"{r['params_per_device'] / 1e6:,.1f} M on each device",
    f"  HBM            {gib['peak']:.2f} of {gib['limit']:.2f} GiB "
    f"({r['hbm_free_share']:.1%} free): "
    + ", ".join(
      f"{name} {r[f'hbm_{name}_gib']:.2f}"
      for name in ("arguments", "temporaries", "outputs", "code")
    ),
    f"  model FLOPs    {r['model_flops_per_step']:.4g}: "
    + ", ".join(
      f"{part} {flops / r['model_flops_per_step']:.1%}"
      for part, flops in r["model_flops_by_part"].items()
      if flops
    ),
  ]
  if r["step_seconds_estimate"] is None:
    lines.append("  the compiler gave up for lack of memory")
  else:
    lines += _speed(r)
  return "\n".join(lines)


def _speed(r):
  ratio = r["hardware_flops_per_step"] / r["model_flops_per_step"]
  lines = [
    f"  hardware FLOPs {r['hardware_flops_per_step']:.4g}, {ratio:.2f} x the "
    "model's: recomputed, masked, repeated and the optimizer's",
    f"  bytes moved    {r['hbm_bytes_per_device'] / 1e9:,.1f} GB a device",
    f"  collectives    {r['collective_bytes'] / 1e9:,.3f} GB a device",
  ]
  for c in r["collectives"]:
    lines.append(
      f"    {c['kind']} over {c['axes'] or '-'}, {c['count']:.0f} times: "
      f"ICI {c['ici_bytes'] / 1e9:.3f} GB, DCN {c['dcn_bytes'] / 1e9:.3f} GB, "
      f"{c['seconds'] * 1e3:.2f} ms, {c['exposed_seconds'] * 1e3:.2f} exposed"
    )
  lines.append(
    "  roofline       "
    + ", ".join(
      f"{part} {r[f'seconds_{part}'] * 1e3:.2f} ms"
      for part in ("compute", "memory", "ici", "dcn")
    )
    + f"; bound by {r['bound_by']}"
  )
  for name in ("optimistic", "estimate", "pessimistic"):
    lines.append(
      f"  {name:14s} {r[f'step_seconds_{name}'] * 1e3:.2f} ms, "
      f"MFU {r[f'mfu_{name}']:.1%}"
    )
  lines.append("  where the estimate's time goes:")
  for part in r["slowest"]:
    spent, waits_for = part["seconds"] * 1e3, part["waits_for"]
    lines.append(f"    {spent:8.2f} ms {waits_for}: {part['where']}")
  return lines


def assumptions(topology):
  """What the estimates take for granted, as lines of text."""
  lines = list(rooflines.ASSUMPTIONS)
  chip = topology.chip
  lines.append(
    f"a device of {chip.name}: {chip.peak_flops:.4g} dense bfloat16 FLOP/s, "
    f"{chip.hbm_bytes / _GIB:.1f} GiB at {chip.hbm_bytes_per_second:.4g} "
    f"bytes/s, sends {chip.ici_bytes_per_second:.4g} bytes/s inside of a slice "
    f"or node and {chip.dcn_bytes_per_second:.4g} beyond ({chip.source})"
  )
  lines.append(
    "optimistic: the longest of the four alone; pessimistic: their sum"
  )
  if topology.simulated:
    lines.append(
      "compiled by XLA's CPU backend on simulated devices: collectives are "
      f"those of the partitioner, but memory, fusion and bytes moved of "
      f"{chip.name} will be others"
    )
  else:
    libtpu, jax = map(importlib.metadata.version, ("libtpu", "jax"))
    lines.append(
      f"compiled by libtpu {libtpu} for jax {jax}; another version can plan "
      "memory otherwise: check with that of the pod"
    )
  return lines


def _mesh(shape):
  return " x ".join(f"{axis} {size}" for axis, size in shape.items())
