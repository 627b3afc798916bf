"""Pictures as they are to be seen: upright, whole, in their colours."""

import av
import clips
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from test_media import decode

from data_pipelines import crops, media, opening
from data_pipelines.rejects import Reject

COLOURS = np.array(
  [
    [(220, 40, 40), (40, 190, 60), (50, 70, 210), (225, 200, 60)],
    [(200, 150, 130), (120, 80, 60), (240, 240, 240), (20, 20, 20)],
  ],
  np.uint8,
)


def chart(width=96, height=64):
  """The colours, four in a row."""
  tall = np.repeat(COLOURS, height // 2, axis=0)
  return np.repeat(tall, width // 4, axis=1)


def colour_error(picture_YX3):
  """(mean, largest) difference between a chart's patches and what is there."""
  height, width = picture_YX3.shape[:2]
  ys = (np.array([0.25, 0.75]) * height).astype(int)
  xs = (np.array([0.125, 0.375, 0.625, 0.875]) * width).astype(int)
  seen = picture_YX3[ys][:, xs].astype(int)
  off = np.abs(seen - COLOURS)
  return off.mean(), off.max()


def film(path, pictures, **fields):
  times = np.arange(len(pictures)) / 25
  clip = clips.Clip(pictures, times, clips.noise(len(pictures) / 25), **fields)
  return clips.write(path, clip)


def first_picture(path):
  frame = decode(path)[0][0]
  return frame.scaled(*frame.size)


def set_matrix(path, numbers):
  """Gives the pictures of an mp4 another display matrix: xx, xy, yx, yy."""
  content = bytearray(path.read_bytes())
  at = content.index(b"tkhd") + 44
  (xx, xy), (yx, yy) = np.reshape(numbers, (2, 2))
  matrix = np.array([xx, xy, 0, yx, yy, 0, 0, 0, 1 << 14]) * (1 << 16)
  content[at : at + 36] = np.round(matrix).astype(">i4").tobytes()
  path.write_bytes(content)


@pytest.mark.parametrize(
  "matrix",
  [
    (1, 0, 0, 1),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (-1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, 1, 0),
    (0, 1, -1, 0),
    (0, -1, -1, 0),
    (0.999, 0.04, -0.04, 0.999),  # a hand that was not steady
    (0, 0, 0, 0),
  ],
)
def test_every_display_matrix_is_followed(tmp_path, matrix):
  path = tmp_path / "a.mp4"
  film(path, [chart()] * 2)
  set_matrix(path, matrix)
  # By its definition: pixel (x, y) is seen at (x xx + y yx, x xy + y yy).
  xx, xy, yx, yy = np.round(matrix) if any(matrix) else (1, 0, 0, 1)
  y_YX, x_YX = np.mgrid[:64, :96]
  row_YX = (x_YX * xy + y_YX * yy).astype(int)
  column_YX = (x_YX * xx + y_YX * yx).astype(int)
  row_YX, column_YX = row_YX - row_YX.min(), column_YX - column_YX.min()
  want = np.zeros((row_YX.max() + 1, column_YX.max() + 1, 3), int)
  want[row_YX, column_YX] = chart()
  got = first_picture(path)
  assert got.shape == want.shape
  assert np.abs(got - want).mean() < 5


@pytest.mark.parametrize("turn", [10, 45, 200])
def test_what_is_to_be_shown_askew_is_left_out(tmp_path, turn):
  path = tmp_path / "a.mp4"
  film(path, [chart()] * 2)
  c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
  set_matrix(path, (c, s, -s, c))
  with pytest.raises(Reject, match="askew"):
    decode(path)


HD, SD = (1280, 720), (320, 240)


@pytest.mark.parametrize(
  ("size", "matrix", "tag", "extent"),
  [
    (SD, Colorspace.ITU601, None, ColorRange.MPEG),
    ((640, 576), Colorspace.ITU601, None, ColorRange.MPEG),
    (HD, Colorspace.ITU709, None, ColorRange.MPEG),
    (HD[::-1], Colorspace.ITU709, None, ColorRange.MPEG),
    (SD, Colorspace.ITU709, 1, ColorRange.MPEG),
    (SD, Colorspace.ITU709, 1, ColorRange.JPEG),
    (HD, Colorspace.ITU601, 6, ColorRange.MPEG),
    (HD, Colorspace.ITU601, 6, ColorRange.JPEG),
    (SD, Colorspace.BT2020, 9, ColorRange.MPEG),
  ],
)
def test_colours_are_those_that_were_filmed(
  tmp_path, size, matrix, tag, extent
):
  frame = av.VideoFrame.from_ndarray(chart(*size), "rgb24").reformat(
    format="yuv444p", dst_colorspace=matrix, dst_color_range=extent
  )
  tags = {"colorspace": tag, "color_range": int(extent)} if tag else {}
  path = tmp_path / "a.mkv"
  film(path, [frame], pixel_format="yuv444p", tags=tags, encoder={"crf": "4"})
  assert colour_error(first_picture(path))[1] <= 4


@pytest.mark.parametrize(
  ("codec", "form"),
  [
    ("ffv1", "bgra"),
    ("ffv1", "rgb48le"),
    ("ffv1", "yuv422p16le"),
    ("ffv1", "yuv420p10le"),
    ("mjpeg", "yuvj420p"),
    ("rawvideo", "nv12"),
    ("prores_ks", "yuv422p10le"),
  ],
)
def test_any_form_of_pixels_has_the_same_colours(tmp_path, codec, form):
  path = tmp_path / "a.mkv"
  film(path, [chart()] * 2, video_codec=codec, pixel_format=form)
  assert colour_error(first_picture(path))[1] <= 4


def pq(light):
  """SMPTE ST 2084: signal of light, 1 being 10,000 nits."""
  root = light ** (2610 / 16384)
  share = (0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)
  return share ** (2523 / 32)


def hlg(light):
  """ARIB STD-B67: signal of the scene's light."""
  bright = 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9))
  return np.where(light <= 1 / 12, np.sqrt(3 * light), bright + 0.55991073)


TO_BT_2020 = np.array(
  [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


@pytest.mark.parametrize(
  ("curve", "tag", "white"), [(pq, 16, 0.0203), (hlg, 18, 0.265)]
)
def test_hdr_looks_as_on_any_screen(tmp_path, curve, tag, white):
  srgb_YX3 = chart() / 255
  dark = srgb_YX3 <= 0.04045
  light_YX3 = np.where(
    dark, srgb_YX3 / 12.92, ((srgb_YX3 + 0.055) / 1.055) ** 2.4
  )
  signal_YX3 = curve(white * light_YX3 @ TO_BT_2020.T)
  deep = np.round(65_535 * signal_YX3).astype(np.uint16)
  frame = av.VideoFrame.from_ndarray(deep, "rgb48le").reformat(
    format="yuv420p10le",
    dst_colorspace=Colorspace.BT2020,
    dst_color_range=ColorRange.MPEG,
  )
  path = tmp_path / "a.mkv"
  tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9}
  film(
    path,
    [frame] * 2,
    video_codec="ffv1",
    pixel_format="yuv420p10le",
    tags=tags | {"color_trc": tag},
  )
  assert colour_error(first_picture(path))[1] <= 5


def test_light_above_white_paper_is_white(tmp_path):
  deep = np.full((64, 64, 3), round(0.9 * 65_535), np.uint16)
  frame = av.VideoFrame.from_ndarray(deep, "rgb48le")
  path = tmp_path / "a.mkv"
  film(
    path,
    [frame],
    video_codec="ffv1",
    pixel_format="rgb48le",
    tags={"color_trc": 16},
  )
  assert first_picture(path).min() >= 254


def test_interlaced_pictures_have_no_combs_and_keep_their_times(tmp_path):
  pictures = np.full((50, 288, 352, 3), 60, np.uint8)
  for field in range(100):  # a bar moves between the fields of a picture
    pictures[field // 2, field % 2 :: 2, :, :] = 60
    left = 20 + 3 * field
    pictures[field // 2, field % 2 :: 2, left : left + 40, :] = 200
  path = tmp_path / "a.mp4"
  encoder = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
  film(path, pictures, encoder=encoder)
  frames, times, *_ = decode(path)
  assert len(frames) == 50
  np.testing.assert_allclose(times, np.arange(50) / 25, atol=1e-3)
  for number in (0, 20, 49):
    whole = crops.whole_picture(frames[number].size)
    seen = crops.crop_picture(frames[number], whole, 256).astype(int)
    combs = np.abs(seen[1:-1] - (seen[:-2] + seen[2:]) / 2)
    assert np.quantile(combs, 0.995) < 10
    row_X = frames[number].scaled(352, 288)[100, :, 0]
    middle = np.flatnonzero(row_X > 130).mean()
    assert abs(middle - (20 + 6 * number + 20)) < 4


def test_a_still_picture_is_scaled_once(tmp_path):
  clip = clips.Clip([chart()] * 2, [0, 2.0], clips.noise(2))
  frames, *_ = decode(clips.write(tmp_path / "a.mkv", clip))
  assert frames[5].scaled(32, 32) is frames[10].scaled(32, 32)


def test_a_picture_larger_than_8k_is_left_out(tmp_path, monkeypatch):
  monkeypatch.setattr(opening, "MOST_PIXELS", 96 * 64 - 1)
  path = tmp_path / "a.mkv"
  film(path, [chart()])
  with pytest.raises(Reject) as rejected:
    decode(path)
  assert rejected.value.reason == "too_large"


def test_a_strip_that_pixels_make_wide_is_left_out(tmp_path):
  pictures = [np.full((4320, 64, 3), 90, np.uint8)]
  path = film(tmp_path / "a.mkv", pictures, pixel_aspect=200)
  with pytest.raises(Reject) as rejected:
    decode(path)
  assert rejected.value.reason == "too_large"


def test_a_cover_is_no_video(tmp_path):
  path = tmp_path / "a.mp4"
  with av.open(str(path), "w") as file:
    sound = file.add_stream("aac", rate=16_000, layout="mono")
    cover = file.add_stream("mjpeg", rate=25)
    cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
    cover.disposition = av.stream.Disposition.attached_pic
    picture = av.VideoFrame.from_ndarray(chart(), "rgb24")
    file.mux(cover.encode(picture))
    frame = av.AudioFrame.from_ndarray(clips.noise(1), "fltp", "mono")
    frame.sample_rate = 16_000
    file.mux(sound.encode(frame))
    file.mux(sound.encode(None))
  with pytest.raises(Reject) as rejected:
    media.read_sound(path)
  assert rejected.value.reason == "not_a_video"
