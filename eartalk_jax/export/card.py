"""README.md of an exported folder: what was trained on what, how to use it."""

from eartalk_jax.errors import UserError
from eartalk_jax.files import write_text

_TEXT = """---
library_name: pytorch
tags: [talking-head, audio-driven, autoregressive, flow-matching]
---

# EARTalking, {size} x {size} pixels

One portrait and speech become a talking-head video, {stride} at a time, at {fps} frames
a second (EARTalking, arXiv 2603.20307). PyTorch: `pip install {packages}`.

```python
from modeling_eartalk import EARTalking
model = EARTalking.from_pretrained(".")
frames = list(model.generate(portrait_YX3, samples_S, {{"{control}": {{0: {value}}}}}))
```

`portrait_YX3` is a uint8 face crop of {size} x {size} pixels, `samples_S` mono speech at
{sample_rate} Hz. `picture_files.read_portrait` reads one from a file (upright, sRGB; needs
Pillow); `example.py` goes from files to an mp4. What is impossible is a ValueError. `modeling_eartalk.Stream` is
the same live: push samples, pull frames, change controls at any frame. Equal seeds
give the frames of the JAX model that the weights come from, up to rounding.

## What was trained on what

| | |
|---|---|
| data | `{tokens}` |
| fingerprint of the data | `{tokens_fingerprint}` |
| tokenizer's fingerprint | `{tokenizer_fingerprint}` |
| steps | {trained_steps} of {steps}, batches of {batch_size} clips of {frames} frames |
| optimizer | {matrices}, peak learning rate {peak_lr}, seed {seed} |
| weights | {weights}, {dtype} |
| backbone | {depth} layers of {width}, window of {window} latents, {positions} positions |
| tokenizer, speech encoder | `{tokenizer_kind}`, `{speech_kind}` |
| head | `{head}` |

`training.json` has every setting of the run.

## Controls

Each may be given or left out at any frame; so may the speech.

{controls}

Idling (blinks, glances) is not in this folder: what is not asked for is what the
model finds likeliest. The model needs {look_ahead:g} ms of speech after a frame.

## Limits

It knows the faces, voices and languages of its training data and no others. A
portrait must be cropped as the training videos were. Show people as talking only with their consent.
"""
_OTHERS = """
The weights in {folders} are others' and under licences of their own: whoever hands this
folder on must know them. `modeling_encoders.py` runs them with {others}.
"""


def write_card(folder, config, run):
  """Writes README.md.

  Args:
    folder: of the export.
    config: its config.json.
    run: the run's resolved configuration.

  Raises:
    UserError: it lacks what the card tells.
  """
  try:
    text = _card(config, run)
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(
      f"the run's config.json is damaged ({error!r}); copy it again"
    ) from None
  write_text(folder / "README.md", text)


def _card(config, run):
  prints, stride = run.get("fingerprints", {}), config["stride"]
  optimizer = run["run"]["optimizer"]
  control, value = _example(config["controls"])
  kinds = [config[what]["kind"] for what in ("tokenizer", "speech")]
  packages = ["torch", "safetensors"]
  packages += ["diffusers"] * (kinds[0] != "patches")
  packages += ["transformers"] * (kinds[1] != "mel")
  others = packages[2:]
  text = _TEXT + _OTHERS * bool(others)
  where = {"diffusers": "`tokenizer/`", "transformers": "`speech/`"}
  return text.format(
    folders=" and ".join(where[name] for name in others),
    **{name: config[name] for name in _OF_CONFIG},
    stride=f"{stride} frames" if stride > 1 else "a frame",
    packages=" ".join(packages),
    others=" and ".join(others),
    tokenizer_kind=kinds[0],
    speech_kind=kinds[1],
    size=config["tokenizer"]["size"],
    sample_rate=config["audio"]["sample_rate"],
    head=config["head"]["kind"],
    controls="\n".join(map(_describe, config["controls"])) or "None.",
    control=control,
    value=value,
    look_ahead=_look_ahead_ms(config),
    tokens=run["data"]["tokens"],
    frames=run["data"]["frames"],
    tokens_fingerprint=prints.get("tokens", "unknown"),
    tokenizer_fingerprint=prints.get("tokenizer", "unknown"),
    **{name: run["run"][name] for name in ("steps", "batch_size", "seed")},
    **{name: optimizer[name] for name in ("matrices", "peak_lr")},
  )


_OF_CONFIG = (
  "fps",
  "trained_steps",
  "weights",
  "dtype",
  "depth",
  "width",
  "window",
  "positions",
)


def _look_ahead_ms(config):
  """Of the speech after a frame's own what is needed to show it, at most."""
  audio, speech, stride = (config[k] for k in ("audio", "speech", "stride"))
  frames = audio["ahead"] + stride - 1
  frames += config["tokenizer"].get("delay", 0) * stride
  if speech["kind"] == "mel":
    samples = (speech["n_fft"] - speech["hop"]) / 2
  else:
    frames += speech["step"] - 1 + speech["right"]
    samples = speech["beyond"]
  return 1e3 * (frames / config["fps"] + samples / audio["sample_rate"])


def _describe(control):
  if control["kind"] == "categorical":
    return f"- `{control['name']}`: one of {', '.join(control['categories'])}"
  span = f"[{control['low']:g}, {control['high']:g}]"
  return f"- `{control['name']}`: {control['size']} numbers in {span}"


def _example(controls):
  """A control and a value of it, as Python would write them."""
  for control in controls:
    if control["kind"] == "categorical":
      return control["name"], repr(control["categories"][-1])
  if controls:
    return controls[0]["name"], [0.0] * controls[0]["size"]
  return "pose", [0.0]
