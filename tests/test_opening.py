"""What is opened, by which names, and what is not."""

import os

import clips
import numpy as np
import pytest

from data_pipelines import media, speech
from data_pipelines.rejects import Reject
from eartalk_jax.errors import UserError


@pytest.fixture(scope="module")
def film(tmp_path_factory):
  """The bytes of an ordinary video."""
  path = tmp_path_factory.mktemp("film") / "a.mp4"
  clip = clips.Clip(clips.numbered(10), np.arange(10) / 25, clips.noise(0.4))
  return clips.write(path, clip).read_bytes()


NAMES = [
  b"concat:a.mp4",
  b"file:a.mp4",
  b"subfile,,start,0,end,0,,:a.mp4",
  b"a%03d.mp4",
  b"-.mp4",
  b"caf\xe9.mp4",
  b"new\nline.mp4",
  b"?*[a].mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name(tmp_path, monkeypatch, film, name):
  monkeypatch.chdir(tmp_path)
  with open(name, "wb") as file:
    file.write(film)
  path = os.fsdecode(name)
  assert len(media.read_sound(path).samples_S) >= 6_400
  assert speech.count_frames(path) >= 10


PLAYLISTS = {
  "ffconcat": "ffconcat version 1.0\nfile film.mp4\n",
  "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.mp4\n"
  "#EXT-X-ENDLIST\n",
  "dash": '<?xml version="1.0"?><MPD type="static"><Period>'
  "<BaseURL>film.mp4</BaseURL></Period></MPD>\n",
  "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("ending", ["mp4", "m3u8", "wav"])
def test_a_list_of_other_files_is_no_film(tmp_path, film, kind, ending):
  (tmp_path / "film.mp4").write_bytes(film)
  path = tmp_path / f"list.{ending}"
  path.write_text(PLAYLISTS[kind])
  with pytest.raises(Reject) as rejected:
    media.read_sound(path)
  assert rejected.value.reason == "not_a_video"
  with pytest.raises(UserError, match="cannot be decoded"):
    speech.count_frames(path)


@pytest.mark.parametrize("title", [b"caf\xe9 \xff", b"\xc2\xbc\xd2\xf4", b""])
def test_a_title_may_be_in_any_encoding(tmp_path, title):
  from test_speech import noise, write_wav

  path = write_wav(tmp_path / "a.wav", noise(1.0))
  content = bytearray(path.read_bytes())
  title += b"\0" * (2 - len(title) % 2)
  body = b"INFOINAM" + np.array(len(title), "<u4").tobytes() + title
  content[36:36] = b"LIST" + np.array(len(body), "<u4").tobytes() + body
  content[4:8] = np.array(len(content) - 8, "<u4").tobytes()
  path.write_bytes(content)
  assert speech.count_frames(path) == 25
