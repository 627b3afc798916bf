"""EARTalking in JAX: talking-head video, one latent frame at a time.

What most programs need is here by name; `eartalk` has the same as commands.

  import eartalk_jax as ear

  generator = ear.load_generator("runs/demo/talker")
  stream = ear.Streams(generator, slots=1).open(portrait_YX3)
  stream.set("pose", [0.3, 0, 0], frame=5)
  stream.push(samples_S)  # 16 kHz
  stream.finish()
  size_YX = (generator.size, generator.size)
  with ear.writing_video("talking.mp4", size_YX) as film:
    for frame_YX3 in stream.pull():
      film.write(frame_YX3)

Nothing is imported before it is asked for.

Dimension letters used in array names throughout the project:

  B batch (or stream)   T frames              N tokens in a frame
  M condition tokens    P tokens in a block   D width
  H heads               K head width          L layers
  C latent channels     F features            W window, in frames
  h, w latent grid      A audio steps in a video frame
  S audio samples       X, Y picture columns and rows (pictures: ..YX3)
"""

import importlib

# Module -> what is handed on from it.
_HOMES = {
  "config": ("from_config",),
  "errors": ("UserError",),
  "export.exporting": ("export_folder",),
  "export.importing": ("import_folder",),
  "generate": ("Generator", "load_generator"),
  "jobs.talker": ("train",),
  "models.config": ("ControlConfig", "TalkerConfig"),
  "models.signals": ("Signals",),
  "models.talker": ("Talker", "init_params"),
  "speech": ("features", "open_speech"),
  "streaming": ("Stream", "Streams"),
  "tokenizers.storing": ("load_tokenizer",),
  "training.train_config": ("TrainConfig",),
  "video": ("writing_video",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name):
  """Imports a name when it is first asked for."""
  if name not in _HOME:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  found = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
  globals()[name] = found
  return found


def __dir__():
  return sorted({*globals(), *__all__})
