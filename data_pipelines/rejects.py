"""Why a file, or a part of one, is not in the dataset."""

# What cannot be repaired by a filter: nothing of it is stored.
REASONS = {
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
