import io
import json
import re

import pytest
from PIL import Image

from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.report import build_report
from launch import report


@pytest.fixture
def inputs(tmp_path):
  """Folders as the other commands leave them."""
  evaluation, talker = tmp_path / "evaluation", tmp_path / "talker"
  evaluation.mkdir()
  talker.mkdir()
  metrics = {"lip": 0.8512, "lip_ceiling": 0.97, "yaw": 0.5, "blink": None}
  (evaluation / "metrics.json").write_text(json.dumps(metrics))
  picture = io.BytesIO()
  Image.new("RGB", (8, 8)).save(picture, "PNG")
  (evaluation / "strips.png").write_bytes(picture.getvalue())
  lines = [{"step": s, "loss": 1 / s, "listens/audio": 0.1} for s in (1, 2, 3)]
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (talker / "metrics.jsonl").write_text(text)
  (talker / "config.json").write_text('{"seed": "<7>"}')
  (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
  stages = [{"title": "train", "command": "python -m x", "seconds": 65}]
  (tmp_path / "stages.json").write_text(json.dumps(stages))
  return tmp_path


def words(root, **more):
  asked = {"checkpoint": root / "talker", "evaluation": root / "evaluation"}
  asked |= {"out": root / "report.html"} | more
  return [w for name, value in asked.items() for w in (f"--{name}", str(value))]


def test_one_page_holds_everything(inputs):
  extra = {"video": inputs / "film.mp4", "stages": inputs / "stages.json"}
  report.main(words(inputs, **extra))
  page = (inputs / "report.html").read_text()
  sources = re.findall(r'(?:src|href)="([^"]{1,20})', page)
  assert len(sources) == 3  # the video, the strips, the curves
  assert all(source.startswith("data:") for source in sources)
  for part in ("0.85", "0.97", "FAIL", "not measured", "0:01:05", "jax"):
    assert part in page
  assert "&lt;7&gt;" in page
  assert "<7>" not in page
  assert page.count("<section>") == page.count("</section>")


def test_what_is_not_there_is_left_out(inputs):
  (inputs / "evaluation" / "strips.png").unlink()
  (inputs / "talker" / "metrics.jsonl").unlink()
  page = build_report(report.gather(report._arguments(words(inputs))))
  assert "The video" not in page
  assert "Frames side by side" not in page
  assert "Training" not in page
  assert "Targets" in page


def test_missing_inputs_are_named(inputs):
  with pytest.raises(UserError, match="launch.evaluate writes it"):
    report.main(words(inputs, evaluation=inputs))
  with pytest.raises(UserError, match="--video .*none.mp4"):
    report.main(words(inputs, video=inputs / "none.mp4"))
  with pytest.raises(UserError, match="stages.json: no mp4 file"):
    report.main(words(inputs, video=inputs / "stages.json"))
