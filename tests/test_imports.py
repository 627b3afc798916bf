"""Who may import whom: rooms see each other in one direction only.

A room is a folder of eartalk_jax, a module that lies in eartalk_jax itself, or
one of the other packages. Imports in functions count like others.
"""

import ast
import graphlib
import itertools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("eartalk_jax", "data_pipelines", "launch", "configs")
# What a model is, apart from how it is trained, kept and configured.
PURE = {
  "attention",
  "denoising",
  "heads",
  "layers",
  "models",
  "recipes",
  "speech",
  "tokenizers",
}
TRAINING = (
  "optax",
  "orbax",
  "grain",
  "ml_collections",
  "configs",
  "jax.sharding",
  "jax.experimental.mesh_utils",
)
NETWORKS = {"heads", "layers", "models", "recipes", "speech", "tokenizers"}


def room(name):
  """The room of a dotted name; None for other people's packages."""
  package, *rest = name.split(".")
  if package not in PACKAGES:
    return None
  if package == "eartalk_jax" and rest:
    inside = ROOT / package / rest[0]
    if inside.is_dir() or inside.with_suffix(".py").is_file():
      return rest[0]
  return package


def imported(text):
  """Dotted names of everything that a module imports."""
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, "imports have whole names here"
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_modules():
  """{dotted name of a module: [names that it imports]}."""
  paths = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py")]
  return {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): list(
      imported(path.read_text())
    )
    for path in paths
  }


def edges(modules):
  """{(room, room that it imports): ["module imports name", ...]}."""
  found = {}
  for module, names in modules.items():
    for name in names:
      pair = room(module), room(name)
      if pair[1] not in (None, pair[0]):
        found.setdefault(pair, []).append(f"{module} imports {name}")
  return found


def cycle(modules):
  """The imports that make a circle of rooms; none if there is no circle."""
  graph, pairs = {}, edges(modules)
  for one, other in pairs:
    graph.setdefault(one, set()).add(other)
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    rooms = error.args[1][::-1]
    return [pairs[pair][0] for pair in itertools.pairwise(rooms)]
  return []


def breaches(modules, allowed):
  """Imports for which allowed(room, room or foreign name) is false."""
  return [
    f"{module} imports {name}"
    for module, names in modules.items()
    for name in names
    if not allowed(room(module), room(name) or name)
  ]


def _no_launch(one, other):
  return other != "launch" or one == "launch"


def _data_for_jobs(one, other):
  free = {"data_pipelines", "launch", "jobs"}
  return other != "data_pipelines" or one in free


def _pure(one, other):
  # How arrays lie on a mesh may be named; the mesh itself is handed in.
  if other == "jax.sharding.PartitionSpec" or one not in PURE:
    return True
  return not any(f"{other}.".startswith(f"{name}.") for name in TRAINING)


def _linen(one, other):
  return not f"{other}.".startswith("flax.linen.") or one in NETWORKS


def _no_page(one, other):
  """`eartalk_jax` itself hands on what is below it: only users import it."""
  return other != "eartalk_jax"


RULES = {
  rule.__name__: rule
  for rule in (_no_launch, _data_for_jobs, _pure, _linen, _no_page)
}


@pytest.fixture(scope="module")
def modules():
  return read_modules()


def test_rooms_import_in_one_direction(modules):
  assert len(edges(modules)) > 50
  assert not cycle(modules), "\n".join(["a circle:", *cycle(modules)])


@pytest.mark.parametrize("name", RULES)
def test_every_import_is_one_that_its_room_may_have(modules, name):
  assert not breaches(modules, RULES[name])


BAD = {
  "_no_launch": ("eartalk_jax.jobs.talker", "from launch import cli"),
  "_data_for_jobs": ("eartalk_jax.generate", "import data_pipelines.shards"),
  "_pure": ("eartalk_jax.models.talker", "from jax.sharding import Mesh"),
  "_linen": ("eartalk_jax.training.loop", "from flax import linen as nn"),
  "_no_page": ("eartalk_jax.heads.flow", "from eartalk_jax import Talker"),
}


@pytest.mark.parametrize("name", RULES)
def test_an_import_that_breaks_a_rule_is_found(name):
  module, line = BAD[name]
  assert breaches({module: list(imported(line))}, RULES[name])


def test_a_circle_is_found_and_its_modules_named(modules):
  late = "def f():\n  from eartalk_jax.training.loop import fit"
  module = "eartalk_jax.telemetry.metrics"
  wrong = modules | {module: modules[module] + list(imported(late))}
  found = cycle(wrong)
  assert (
    "eartalk_jax.telemetry.metrics imports eartalk_jax.training.loop.fit"
    in found
  )
  assert any(line.startswith("eartalk_jax.training.") for line in found)
