"""Keeps a trained probe, so that the next evaluation need not train it.

DIR/probe.safetensors  weights and scales
DIR/probe.json         what it was trained on; written last
"""

import dataclasses
import pathlib

from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from eartalk_jax import files
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.probe import TrainedProbe
from eartalk_jax.evaluation.probe_training import ProbeTraining, train_probe

# Raise it when the code of the probe changes what comes out of it.
_VERSION = 4


def probe_for(directory, dataset_fingerprint, source, config):
  """The probe of that data and configuration: the kept one, or a new one.

  Args:
    directory: where probes are kept.
    dataset_fingerprint: of the frames dataset.
    source: its records.
    config: ProbeConfig.
  """
  directory = pathlib.Path(directory)
  training = ProbeTraining()
  asked = {
    "version": _VERSION,
    "dataset": dataset_fingerprint,
    "config": dataclasses.asdict(config),
    "training": dataclasses.asdict(training),
  }
  fingerprint = files.sha256_of_json(asked)
  probe = _load(directory, fingerprint, config)
  if probe is None:
    probe = train_probe(source, config, training)
    _save(directory, fingerprint, probe)
  return probe


def _save(directory, fingerprint, probe):
  directory.mkdir(parents=True, exist_ok=True)
  tree = {"params": probe.params, "mean": probe.mean, "spread": probe.spread}
  with files.replacing(directory / "probe.safetensors") as temporary:
    temporary.write_bytes(save(traverse_util.flatten_dict(tree, sep="/")))
  digest = files.sha256_of_file(directory / "probe.safetensors")
  note = {"fingerprint": fingerprint, "sha256": digest}
  files.write_json(directory / "probe.json", note)


def _load(directory, fingerprint, config):
  """The kept probe; None if there is none, or another, or a damaged one."""
  try:
    note = read_json(directory / "probe.json")
    path = directory / "probe.safetensors"
    if note != {
      "fingerprint": fingerprint,
      "sha256": files.sha256_of_file(path),
    }:
      return None
    tree = traverse_util.unflatten_dict(load_file(path), sep="/")
  except (OSError, UserError, SafetensorError):
    return None
  return TrainedProbe(config, tree["params"], tree["mean"], tree["spread"])
