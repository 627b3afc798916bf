"""What the proof says of encoders: dictionaries, and tables for people."""

from eartalk_jax.aot.report import report, text
from eartalk_jax.scaling.flops import sampling_flops
from eartalk_jax.spans import FPS

_GIB = 2**30


def stream_report(config, step, frame, topology, streams):
  """Everything known of a streamed step that decodes: {name: plain value}.

  Args:
    config: has `model`.
    step: encoding.Step.
    frame: the report of the step without the decoder, of as many streams.
    topology: Topology.
    streams: how many.
  """
  parts = {
    part: flops * streams
    for part, flops in sampling_flops(config.model).items()
  }
  parts["decoder"] = step.flops
  out = report(step.compiled, topology, parts)
  out |= {
    "streams": streams,
    "frames_per_step": step.frames,
    "state_bytes_per_stream": step.states,
    "decoder_flops_per_frame": step.flops / step.frames,
    "decoder_share_of_flops": step.flops / out["model_flops_per_step"],
  }
  if out["step_seconds_estimate"] is None or not frame["step_seconds_estimate"]:
    unknown = (
      *("frames_per_second", "frames_per_second_per_stream", "real_time"),
      *("real_time_streams", "decoder_share_of_seconds"),
    )
    return out | dict.fromkeys(unknown)
  seconds = out["step_seconds_estimate"]
  each = step.frames / streams / seconds
  return out | {
    "frames_per_second": step.frames / seconds,
    "frames_per_second_per_stream": each,
    "real_time": each >= FPS,
    "real_time_streams": _real_time_streams(out, step, each),
    "decoder_share_of_seconds": 1 - frame["step_seconds_estimate"] / seconds,
  }


def _real_time_streams(out, step, each):
  """How many streams a device can serve in turn, by time and by memory.

  That many are proven by this program alone, one group of streams after the
  other; more in a step share the reading of the weights.
  """
  turns, streams = int(each // FPS), out["streams"]
  state = sum(step.states.values())
  room = (out["hbm_limit_gib"] - out["hbm_peak_gib"]) * _GIB
  more = int(room // (state * streams))
  return streams * min(turns, 1 + more) if out["fits"] else 0


def encoder_report(step, part, topology):
  """The same of a step that encodes pictures or sound.

  Args:
    step: encoding.Step.
    part: what is encoded by, in a word.
    topology: Topology.
  """
  out = report(step.compiled, topology, {part: step.flops})
  out |= {
    "frames_per_step": step.frames,
    "state_bytes_per_clip": sum(step.states.values()),
    "floor_seconds_per_frame": (
      step.flops / step.frames / topology.chip.peak_flops
    ),
    "flops_per_frame": step.flops / step.frames,
  }
  seconds = out["step_seconds_estimate"]
  if seconds is None:
    unknown = "frames_per_second", "frames_per_second_per_tflops", "of_floor"
    return out | dict.fromkeys(unknown)
  rate = step.frames / seconds
  return out | {
    "frames_per_second": rate,
    "frames_per_second_per_tflops": rate / (topology.chip.peak_flops / 1e12),
    "of_floor": out["mfu_estimate"],
  }


def stream_text(r):
  """A stream_report for people."""
  streams = r["streams"]
  many = f"{streams} streams" if streams > 1 else "one stream"
  state = r["state_bytes_per_stream"]
  lines = [
    text(r, f"streamed step with decoder, {many}"),
    f"  state          {sum(state.values()) / 1e6:,.1f} MB a stream: "
    + ", ".join(f"{part} {size / 1e6:,.1f}" for part, size in state.items()),
    f"  decoder        {r['decoder_flops_per_frame']:.4g} FLOPs a frame, "
    f"{r['decoder_share_of_flops']:.1%} of the step's FLOPs",
  ]
  if r["frames_per_second"] is None:
    return "\n".join(lines)
  lines[-1] += f", {r['decoder_share_of_seconds']:.1%} of its time"
  said = "yes" if r["real_time"] else "no"
  return "\n".join(
    [
      *lines,
      f"  frames         {r['frames_per_second_per_stream']:.1f} a second of "
      f"each stream, {r['frames_per_second']:.1f} in all",
      f"  real time      {said} ({FPS} a second); "
      f"{r['real_time_streams']} streams on a device, this step after step",
    ]
  )


def encoder_text(r, title):
  """An encoder_report for people."""
  lines = [
    text(r, title),
    f"  floor          {r['flops_per_frame']:.4g} FLOPs a frame, "
    f"{r['floor_seconds_per_frame'] * 1e3:.3f} ms at the device's peak",
  ]
  if r["frames_per_second"] is not None:
    lines.append(
      f"  frames         {r['frames_per_second']:,.1f} a second on a device, "
      f"{r['frames_per_second_per_tflops']:.3f} for each TFLOP/s of its peak; "
      f"{r['of_floor']:.1%} of the floor"
    )
  if r["state_bytes_per_clip"]:
    lines.append(
      f"  state          {r['state_bytes_per_clip'] / 1e6:,.1f} MB a clip"
    )
  return "\n".join(lines)
