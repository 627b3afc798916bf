"""What a run says of the kinds that it is made of; older runs do not say."""

from eartalk_jax.errors import UserError
from eartalk_jax.speech import load_speech, open_speech


def recipe_kind(run):
  """The kind of a run's recipe, for `recipes.of`.

  Args:
    run: from `resumption.read_run`.
  """
  recipe = run.get("recipe", {"kind": "ear"})
  return recipe.get("kind") if isinstance(recipe, dict) else recipe


def load_speech_of(workdir, run, audio):
  """The speech encoder of a run.

  Args:
    workdir: of the run, a path.
    run: from `resumption.read_run`.
    audio: AudioConfig of its model.

  Raises:
    UserError: there is none, or the model hears other features.
  """
  prints = run.get("fingerprints", {})
  if isinstance(prints, dict) and "speech" in prints:
    speech = load_speech(workdir / "speech")
  else:  # an older run: all of them heard log-mel
    speech = open_speech(f"mel:{audio.bins}")
  if speech.shape != (audio.steps, audio.bins):
    raise UserError(
      f"{workdir}/speech makes features of {speech.shape} a frame, but the "
      f"model hears {(audio.steps, audio.bins)}; restore the speech folder "
      "that training put there"
    )
  return speech
