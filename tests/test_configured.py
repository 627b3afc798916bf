"""Config files and flags that are wrong: one line, before any work."""

import pathlib
import sys

import pytest
from absl import app, flags
from absl.testing import flagsaver

from configs import demo
from eartalk_jax.errors import UserError
from launch import configured

BROKEN = {
  "syntax": "x = (",
  "raises": 'raise KeyError("boo")',
  "import": "import no_such_module",
  "empty": "",
  "no function": "get_config = 3",
  "arguments": "def get_config(a, b):\n  return 1",
  "None": "def get_config():\n  pass",
  "rubbish": "def get_config():\n  return 3",
  "exits": "import sys\nsys.exit(0)",
  "exits later": "def get_config():\n  raise SystemExit",
  "endless": "def get_config():\n  return get_config()",
  "itself": "from ml_collections import ConfigDict\n"
  "def get_config():\n  c = ConfigDict()\n  c.c = c\n  return c",
  "wanting": "from ml_collections import ConfigDict, config_dict\n"
  "def get_config():\n"
  "  return ConfigDict(dict(a=config_dict.required_placeholder(int)))",
  "not UTF-8": 'x = "\xe9"'.encode("latin-1"),
  "no text": bytes(range(256)),
}


@pytest.fixture(autouse=True)
def _flags(monkeypatch):
  # Where the config's flag looks for overrides.
  monkeypatch.setattr(sys, "argv", ["command"])
  app.define_help_flags()
  with flagsaver.flagsaver():
    yield


def _parse(*words):
  sys.argv[1:] = words
  configured._parse(sys.argv, (configured._CONFIG,))


def _refused(*words):
  with pytest.raises(UserError) as caught:
    _parse(*words)
  message = str(caught.value)
  assert len(message.splitlines()) == 1 and len(message) < 600
  return message


@pytest.mark.parametrize("name", BROKEN)
def test_a_config_file_that_fails_is_one_line(tmp_path, name):
  path = tmp_path / "config.py"
  text = BROKEN[name]
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  assert "--config" in _refused(f"--config={path}")
  assert "--config" in _refused("--config", str(path), "--config.a.b=3")


@pytest.mark.parametrize(
  "override, message",
  [
    ("--config.run.stpes=3", "unknown key --config.run.stpes; did you mean st"),
    ("--config.run.steps=many", "run.steps=many: invalid literal"),
    ("--config.model.controls[0].drpo=1", "did you mean drop"),
  ],
)
def test_a_wrong_override_is_one_line(override, message):
  path = pathlib.Path(__file__).parents[1] / "configs" / "demo.py"
  assert message in _refused(f"--config={path}", override)


def test_a_shipped_config_is_found_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for words in (["--config=configs/demo.py"], ["--config", "configs/demo.py"]):
    _parse(*words)
    read = flags.FLAGS["config"].value
    assert read.to_dict() == demo.get_config().to_dict()
  assert "configs/none.py" in _refused("--config=configs/none.py")
  # Nothing else that is installed beside it, and one's own file first.
  assert "No such file" in _refused("--config=launch/train.py")
  assert "No such file" in _refused("--config=demo.py")
  (tmp_path / "configs").mkdir()
  (tmp_path / "configs" / "demo.py").write_text("raise KeyError('mine')")
  assert "mine" in _refused("--config=configs/demo.py")


@pytest.mark.parametrize("word", ["--help", "-h", "--helpfull"])
def test_help_is_no_mistake(word, capsys):
  with pytest.raises(SystemExit) as caught:
    _parse(word)
  assert caught.value.code == 0
  assert capsys.readouterr().out


def test_a_config_file_that_is_none_is_one_line(tmp_path):
  (tmp_path / "folder.py").mkdir()
  assert "Is a directory" in _refused(f"--config={tmp_path}/folder.py")
  assert "No such file" in _refused(f"--config={tmp_path}/none.py")


@pytest.mark.parametrize("words", [[], ["--config="], ["--config"]])
def test_no_config_file_is_one_line(words):
  assert "config" in _refused(*words)


def test_the_line_of_the_file_is_said(tmp_path):
  path = tmp_path / "config.py"
  path.write_text("x = 1\n\nraise KeyError('three')\n")
  assert "line 3: KeyError: 'three'" in _refused(f"--config={path}")


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("--config.stpes=3", "unknown key --config.stpes; did you mean steps"),
    ("--config.list[x]=3", ""),
    ("--config.list[9]=3", "unknown key"),
    ("--config.list[0].b.c=3", ""),
    ("--config.steps=many", "invalid literal"),
    ("--config.steps=" + "9" * 5000, ""),
    ("--config.steps.x=3", ""),
    ("--config.=3", ""),
    ("--join_timeout=nan", "join_timeout"),
    ("--join_timeout=inf", "join_timeout"),
    ("--processes=0", "processes"),
    ("--process=" + "9" * 400, "process"),
  ],
)
def test_an_override_that_cannot_be_is_one_line(tmp_path, override, message):
  path = tmp_path / "config.py"
  path.write_text(
    "from ml_collections import ConfigDict\n"
    "def get_config():\n  return ConfigDict(dict(steps=1, list=[{'b': 1}]))"
  )
  assert message in _refused(f"--config={path}", override)


def test_a_good_file_with_overrides_is_read(tmp_path):
  path = tmp_path / "config.py"
  path.write_text(
    "from ml_collections import ConfigDict\n"
    "def get_config():\n  return ConfigDict(dict(steps=1))"
  )
  _parse(f"--config={path}", "--config.steps=3")
  assert flags.FLAGS["config"].value.to_dict() == {"steps": 3}
