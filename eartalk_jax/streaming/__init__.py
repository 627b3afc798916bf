"""Live video from live speech: many streams in one compiled step.

  streams = Streams(load_generator("runs/demo/talker"), slots=4)
  stream = streams.open(portrait_YX3, {"pose": [0.1, 0, 0]})
  # It blinks and looks about by itself; all else is asked for.
  stream.set("emotion", "happy")         # from the next frame on
  stream.set("pose", [0.3, 0, 0], 50)    # from frame 50 on
  stream.push(samples_S)                 # 16 kHz, as many as there are
  for frame_YX3 in stream.pull(): ...    # every frame that can be made by now
  stream.guide("audio", 1.5)             # of Streams(guidance={"audio": 1})
  stream.finish()                        # no more speech: the last frames
  stream.close()                         # the slot is free for somebody else

Frame t needs the speech up to the end of frame t + the look-ahead, see
`Streams.look_ahead_seconds`. The same samples give the same frames, bit by bit,
however they are cut and whoever else is there, in a given number of slots.

Any thread may call anything: one lock lets one call at a time through, so a
thread that pulls keeps the others waiting. A server is best off with one thread
that owns the streams, and a queue to it.

A frame whose numbers are not finite is an error of its stream, at its `pull`,
and of no other; the stream goes on from that frame once its settings allow it.
Who is not pulled stands still with 50 frames made, however fast others go on.
"""

from eartalk_jax.streaming.stream import Stream
from eartalk_jax.streaming.streams import Streams

__all__ = ["Stream", "Streams"]
