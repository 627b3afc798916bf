"""Every command looks at its outputs and numbers before it works."""

import contextlib
import json
import os
import pathlib

import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in
from launch import (
  ablate,
  checkpoint,
  demo,
  evaluate,
  goodput,
  long_run,
  report,
  widths,
)

LONG = "x" * 255


@pytest.fixture(autouse=True)
def places(tmp_path):
  """What the commands read, in the current folder."""
  with contextlib.chdir(tmp_path):
    _make_places()
    yield


def _make_places():
  for folder in ("run", "frames/held_out", "frames/train", "tokens/train"):
    pathlib.Path(folder).mkdir(parents=True)
  pathlib.Path("tokenizer").mkdir()
  pathlib.Path("file").write_text("precious")
  pathlib.Path("run/events.jsonl").write_text("{}\n")
  pathlib.Path("run/config.json").write_text("{}")
  pathlib.Path("run/metrics.json").write_text("{}")
  pathlib.Path("way").symlink_to("run")
  os.link("run/metrics.json", "hard")


@pytest.fixture
def no_work(monkeypatch):
  """Nothing that takes time may be reached."""

  def reached(*unused, **named):
    raise AssertionError("it began to work")

  for module, names in (
    (evaluate, ("use_compile_cache", "load_generator", "open_dataset")),
    (long_run, ("use_compile_cache", "load_generator", "open_dataset")),
    (ablate, ("use_compile_cache", "open_dataset", "run_cells")),
    (report, ("gather",)),
    (demo, ("run_demo",)),
    (goodput, ("read_events",)),
  ):
    for name in names:
      monkeypatch.setattr(module, name, reached)


EVALUATE = (evaluate, "--checkpoint=run", "--data=frames/held_out")
LONG_RUN = (long_run, *EVALUATE[1:], "--probe-data=frames/train")
ABLATE = (ablate, "--demo=.")
REPORT = (report, "--checkpoint=run", "--evaluation=run")
GOODPUT = (goodput, "run")
DEMO = (demo,)
FOLDERS = {
  "evaluate": (EVALUATE, "--out"),
  "evaluate --probe": ((*EVALUATE, "--out=new"), "--probe"),
  "long_run": (LONG_RUN, "--out"),
  "long_run --probe": ((*LONG_RUN, "--out=new"), "--probe"),
  "ablate": (ABLATE, "--out"),
  "demo": (DEMO, "--out"),
}
FILES = {
  "report": (REPORT, "--out", ""),
  "goodput --json": (GOODPUT, "--json", ""),
  "goodput --plot": (GOODPUT, "--plot", ".png"),
}


def _refused(command, *words, match=""):
  before = sorted(pathlib.Path().rglob("*"))
  module, *given = command
  with pytest.raises(UserError, match=match) as caught:
    module.main([*given, *words])
  assert len(str(caught.value).splitlines()) == 1
  assert sorted(pathlib.Path().rglob("*")) == before
  assert pathlib.Path("file").read_text() == "precious"


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("path", ["file", "file/x", "/proc/x", LONG, ""])
@pytest.mark.usefixtures("no_work")
def test_a_folder_that_cannot_be_is_refused_at_once(name, path):
  command, flag = FOLDERS[name]
  path += "x" if path == LONG else ""
  _refused(command, f"{flag}={path}", match=flag)


@pytest.mark.parametrize("name", [n for n in FOLDERS if n != "demo"])
@pytest.mark.usefixtures("no_work")
def test_a_folder_that_is_read_is_refused_as_output(name):
  command, flag = FOLDERS[name]
  read = "frames/../frames/held_out" if "ablate" in name else "way"
  _refused(command, f"{flag}={read}", match=f"{flag}.*reads")


@pytest.mark.parametrize("name", [n for n in FOLDERS if "--" not in n])
@pytest.mark.usefixtures("no_work")
def test_a_second_command_in_a_folder_is_refused_at_once(name):
  command, flag = FOLDERS[name]
  with alone_in("busy"):
    _refused(command, f"{flag}=busy", match="another command is at work")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
  "path", ["frames", "file/x", "/proc/x", LONG, "", "/dev/full", "new/"]
)
@pytest.mark.usefixtures("no_work")
def test_a_file_that_cannot_be_is_refused_at_once(name, path):
  command, flag, ending = FILES[name]
  path = path[len(ending) :] + ending if path == LONG else path
  _refused(command, f"{flag}={path}", match=flag)


@pytest.mark.parametrize(
  ("command", "words"),
  [
    (REPORT, ["--out=run/metrics.json"]),
    (REPORT, ["--out=way/config.json"]),
    (REPORT, ["--out=hard"]),
    (REPORT, ["--out=file", "--video=file"]),
    (GOODPUT, ["--json=way/events.jsonl"]),
    (GOODPUT, ["--json=run/config.json"]),
    (GOODPUT, ["--json=a.png", "--plot=./a.png"]),
  ],
)
@pytest.mark.usefixtures("no_work")
def test_a_file_that_is_read_is_refused_as_output(command, words):
  _refused(command, *words, match="reads|one file")


@pytest.mark.usefixtures("no_work")
def test_a_plot_has_the_ending_of_what_it_is():
  _refused(GOODPUT, "--plot=a.jpg", match="ends in .png")


@pytest.mark.parametrize(
  ("command", "option", "low"),
  [
    (EVALUATE, "--clips", "1"),
    (EVALUATE, "--frames", "9"),
    (EVALUATE, "--seed", "-1"),
    (LONG_RUN, "--minutes", "0"),
    (LONG_RUN, "--bin", "0"),
    (LONG_RUN, "--streams", "1"),
    (ABLATE, "--seeds", "0"),
    (ABLATE, "--jobs", "0"),
    (ABLATE, "--steps", "0"),
    (DEMO, "--seed", "-1"),
    ((checkpoint, "verify", "run"), "--step", "-1"),
  ],
)
@pytest.mark.usefixtures("no_work")
def test_a_number_that_cannot_be_is_refused_at_once(command, option, low):
  out = [] if command[0] is checkpoint else ["--out=new"]
  for value in (low, "nan", "inf", "1e999", "x", "", "9" * 5000):
    _refused(command, *out, f"{option}={value}", match=option)


@pytest.mark.parametrize("word", ["²", "64.0", "nan", "-64", "9" * 9, ""])
@pytest.mark.usefixtures("no_work")
def test_widths_that_cannot_be_are_refused(word):
  with pytest.raises(UserError, match="whole number"):
    widths.parse_widths(["64", word])


DAMAGED = ["", "{", "[]", "3", '{"lip": NaN}', '{"lip": "x"}', "[" * 100_000]
DAMAGED += ['{"lip": 1, "lip": 2}', '{"lip": true}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_of_figures_is_a_line(text):
  pathlib.Path("metrics.json").write_text(text)
  with pytest.raises(UserError, match="metrics.json.*launch.evaluate") as error:
    report.main(["--checkpoint=run", "--evaluation=.", "--out=r.html"])
  assert len(str(error.value)) < 300
  assert not pathlib.Path("r.html").exists()


@pytest.mark.parametrize(
  "content",
  [
    [],
    {"stages": {}},
    {"stages": [], "peak_rss_gb": 1},
    {"stages": {"corpus": 3}, "peak_rss_gb": 1},
    {"stages": {"corpus": {"command": [], "done": True}}, "peak_rss_gb": 1},
    {"stages": {}, "peak_rss_gb": "x"},
  ],
)
def test_a_damaged_ledger_is_a_line(content):
  pathlib.Path("demo.json").write_text(json.dumps(content))
  with pytest.raises(UserError, match="demo.json.*delete it"):
    demo.Ledger(pathlib.Path("demo.json"))


GOOD_EVENT = {"time": 1.0, "process": 0, "kind": "start", "started": 0.5}


@pytest.mark.parametrize(
  "change",
  [
    {"time": None},
    {"time": "x"},
    {"time": 1e300},
    {"time": -1},
    {"process": None},
    {"process": True},
    {"started": None},
    {"kind": "begin", "phase": 3},
    {"kind": "begin"},
    {"kind": "stop"},
    {"kind": []},
    {"step": "x"},
    {"data_wait": {}},
  ],
)
def test_a_damaged_event_is_a_line(change):
  log = pathlib.Path("run/events.jsonl")
  lines = [GOOD_EVENT, GOOD_EVENT | change]
  log.write_text("".join(json.dumps(line) + "\n" for line in lines))
  with pytest.raises(UserError, match="events.jsonl: line 2 is damaged"):
    goodput.main(["run"])


@pytest.mark.parametrize("line", ["3", "{}", '{"step": "x"}', "[" * 10**5, "{"])
def test_a_damaged_line_of_metrics_is_a_line(line):
  pathlib.Path("run/metrics.jsonl").write_text(line + "\n")
  with pytest.raises(UserError, match="metrics.jsonl: line 1 is damaged"):
    report.main(["--checkpoint=run", "--evaluation=run", "--out=r.html"])
