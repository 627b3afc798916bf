"""Where the time of a run went, from its event log.

The time from the first start to the last event is cut into intervals that
touch, each in one bucket, so buckets add up to the wall time. Inside of an
attempt the innermost open phase names the bucket; what lies between two
attempts is `down`. Of the phase `step`, what was spent waiting for data while
the devices were idle goes to `data wait`, and steps that a later attempt had
to do again go to `wasted`. Goodput is what is left of `step`, over all.
"""

import dataclasses

from eartalk_jax.errors import UserError

# In the order they are told; phases of other names come before `wasted`.
BUCKETS = (
  "initialise",
  "restore",
  "first batch",
  "compile",
  "step",
  "data wait",
  "eval",
  "checkpoint",
  "profile",
)
LOST = ("wasted", "down", "unaccounted")


@dataclasses.dataclass(frozen=True)
class Interval:
  """A piece of the run; `first` and `last` are step numbers if it had any."""

  bucket: str
  begin: float
  end: float
  first: int | None = None
  last: int | None = None


@dataclasses.dataclass(frozen=True)
class Attempt:
  """One start of the program.

  Attributes:
    begin, end: seconds since 1970; the end of a killed one is its last event.
    first, last: steps done before it, and the last step that it began.
    how: finished, SIGTERM, SIGINT, error, stalled, killed, or running: there
      is no last line, and no later attempt.
    wasted: steps that a later attempt had to do again.
  """

  begin: float
  end: float
  first: int | None
  last: int | None
  how: str
  wasted: int = 0


@dataclasses.dataclass(frozen=True)
class Goodput:
  """The buckets of a run in seconds, its intervals and its attempts."""

  buckets: dict
  intervals: list
  attempts: list

  @property
  def wall(self):
    """Seconds from the first start to the last event."""
    return self.attempts[-1].end - self.attempts[0].begin

  @property
  def goodput(self):
    """The share of productive steps in the wall time."""
    return self.buckets["step"] / max(self.wall, 1e-9)

  @property
  def wasted_steps(self):
    """Steps that were done and had to be done again."""
    return sum(attempt.wasted for attempt in self.attempts)


def goodput(events):
  """Tiles the time of a run with the events that `read_events` gave.

  Raises:
    UserError: there is no attempt in the events.
  """
  stories = _stories(event for event in events if event["process"] == 0)
  if not stories:
    raise UserError("the event log has no start of a run in it; train first")
  ends = [_attempt(story) for story in stories]
  for number, (attempt, later) in enumerate(zip(ends, ends[1:], strict=False)):
    # The clock may have been set back; nothing overlaps.
    begin = max(later.begin, attempt.end)
    ends[number + 1] = dataclasses.replace(
      later, begin=begin, end=max(begin, later.end)
    )
  intervals, attempts = [], []
  for number, (story, attempt) in enumerate(zip(stories, ends, strict=True)):
    later = [a.first for a in ends[number + 1 :] if a.first is not None]
    kept = min(later, default=None)
    if number:
      down = Interval("down", ends[number - 1].end, attempt.begin)
      intervals.append(down)
    intervals += _split_wasted(_intervals(story, attempt), kept)
    # One that beats on after a later one has ended is alive.
    ended = min((_last(story) for story in stories[number + 1 :]), default=None)
    lost = (
      attempt.how == "running" and ended is not None and _last(story) < ended
    )
    attempts.append(
      dataclasses.replace(
        attempt,
        how="killed" if lost else attempt.how,
        wasted=_wasted_steps(attempt, kept),
      )
    )
  return Goodput(_sums(intervals), intervals, attempts)


def _stories(events):
  """The events of each attempt, without runs of what was finished already."""
  stories, told = [], {}
  for event in events:
    if event["kind"] == "start":
      stories.append([event])
      told[event.get("attempt")] = stories[-1]
    elif stories:
      # Two may write at once, of which one is refused.
      told.get(event.get("attempt"), stories[-1]).append(event)
  kept, finished = [], False
  for story in stories:
    ends = _how(story) == "finished"
    idle = not any(event.get("phase") == "step" for event in story)
    if not (finished and ends and idle):
      kept.append(story)
    finished = ends
  return kept


def _attempt(story):
  steps = [event["step"] for event in story if "step" in event]
  return Attempt(
    begin=story[0]["started"],
    end=_last(story),
    first=steps[0] if steps else None,
    last=max(steps) if steps else None,
    how=_how(story),
  )


def _last(story):
  return max(event["time"] for event in story)


def _how(story):
  ends = [event["how"] for event in story if event["kind"] == "stop"]
  return ends[-1] if ends else "running"


def _intervals(story, attempt):
  """The pieces of an attempt, from its begin to its end."""
  phases, stepped = [], False
  at, before = attempt.begin, {}
  for event in story:
    now = max(at, event["time"])
    # All before the first step is start-up; after the last there is nothing.
    bare = "unaccounted" if stepped else "initialise"
    yield from _piece(phases[-1] if phases else bare, at, now, before, event)
    if event["kind"] == "begin":
      phases.append(event["phase"])
      stepped |= event["phase"] == "step"
    elif event["kind"] == "end" and event["phase"] in phases:
      while phases.pop() != event["phase"]:
        pass  # inner ones that a full disk kept from ending
    at, before = now, event


def _piece(bucket, begin, end, before, after):
  if bucket == "step":
    waited = after.get("data_wait", 0) - before.get("data_wait", 0)
    middle = end - min(max(waited, 0), end - begin)
    yield Interval("step", begin, middle, before.get("step"), after.get("step"))
    begin, bucket = middle, "data wait"
  yield Interval(bucket, begin, end)


def _split_wasted(intervals, kept):
  """Moves the time of steps after number `kept` to the bucket `wasted`."""
  for interval in intervals:
    first, last = interval.first, interval.last
    stepped = interval.bucket == "step" and None not in (kept, first, last)
    if not stepped or last <= kept:
      yield interval
    else:
      good = max(kept - first, 0) / max(last - first, 1)
      middle = interval.begin + good * (interval.end - interval.begin)
      yield dataclasses.replace(interval, end=middle, last=max(kept, first))
      yield dataclasses.replace(
        interval, bucket="wasted", begin=middle, first=max(kept, first)
      )


def _wasted_steps(attempt, kept):
  if kept is None or attempt.last is None:
    return 0
  return max(attempt.last - max(kept, attempt.first), 0)


def _sums(intervals):
  others = {interval.bucket for interval in intervals} - {*BUCKETS, *LOST}
  sums = dict.fromkeys((*BUCKETS, *sorted(others), *LOST), 0.0)
  for interval in intervals:
    sums[interval.bucket] += interval.end - interval.begin
  return sums
