"""Interlaced pictures as whole ones, one for each pair of fields."""

import av

from data_pipelines.rejects import Reject


def progressive(frames):
  """Yields decoded frames; from the first interlaced one on, deinterlaced.

  Pictures that are not interlaced stay as they are, and all keep their times.

  Raises:
    Reject: decode_error, the picture's size changes.
  """
  graph, form = None, None
  for frame in frames:
    if graph is None and frame.interlaced_frame:
      graph, form = _graph(frame), _form(frame)
    if graph is None:
      yield frame
      continue
    if _form(frame) != form:  # filters are not made for that
      raise Reject("decode_error", "changes its picture's size half-way")
    graph.push(frame)
    yield from _ready(graph)
  if graph is not None:
    graph.push(None)
    yield from _ready(graph)


def _form(frame):
  return frame.width, frame.height, frame.format.name


def _graph(frame):
  graph = av.filter.Graph()
  source = graph.add(
    "buffer",
    video_size=f"{frame.width}x{frame.height}",
    pix_fmt=frame.format.name,
    time_base=str(frame.time_base),
    pixel_aspect="1/1",
    colorspace=str(int(frame.colorspace)),
    range=str(int(frame.color_range)),
  )
  # A picture for each frame; other processes use the other cores.
  filter_ = graph.add("bwdif", "mode=send_frame:deint=interlaced:threads=1")
  graph.link_nodes(source, filter_, graph.add("buffersink")).configure()
  return graph


def _ready(graph):
  while True:
    try:
      yield graph.pull()
    except (av.error.BlockingIOError, av.error.EOFError):
      return
