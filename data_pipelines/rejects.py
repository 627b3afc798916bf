"""Why a file, or a part of one, is not in the dataset."""

# What cannot be repaired by a filter: nothing of it is stored.
REASONS = {
  "not_a_file": "has the name of a video, and cannot be read as a file",
  "not_a_video": "cannot be opened as a video",
  "truncated": "ends before the length that its header promises",
  "decode_error": "holds data that the decoder refuses",
  "no_frames": "has a video track without a picture",
  "no_audio": "has no audio, or none while there are pictures",
  "bad_audio": "holds samples that cannot be sound: NaN, out of range",
  "too_long": "is longer than 3 hours",
  "too_large": "the pictures are larger than 8K",
  "too_small": "the pictures are smaller than 32 pixels",
  "bad_truth": "the .truth.json beside it does not fit",
  "no_face": "no face was found",
  "crashed": "ended the process that read it, twice",
  "too_slow": "gave the process that read it work without an end",
  "too_much_memory": "took more memory than a file may",
  "unexpected": "made the program fail; please report it",
}


class Reject(Exception):
  """Leaves one file or sub-clip out and lets the rest go on.

  Attributes:
    reason: a key of `REASONS`.
    detail: what exactly, for the log.
  """

  def __init__(self, reason, detail=""):
    assert reason in REASONS, reason
    super().__init__(f"{reason}: {detail or REASONS[reason]}")
    self.reason = reason
    self.detail = detail or REASONS[reason]

  def __reduce__(self):
    return Reject, (self.reason, self.detail)

  def row(self, source, first=0, count=0):
    """What is kept of it: a JSON dict.

    Args:
      source: the file's printable name.
      first: the first frame that is left out.
      count: how many those are; 0 if nobody knows.
    """
    return {
      "source": source,
      "start_frame": first,
      "frames": count,
      "reason": self.reason,
      "detail": self.detail,
    }
