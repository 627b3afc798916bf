"""What every long run needs and nobody tunes: the part of `run` on survival."""


def settings():
  """Leaves of `run`; see RunConfig, GuardConfig and WatchdogConfig."""
  return {
    "keep_every": 0,
    "max_failed_saves": 3,
    "start_from": "",
    "allow_resize": False,
    "accumulate": 1,
    "guard": {"window": 128, "sigmas": 10.0, "streak": 20},
    "watchdog": {
      "factor": 20.0,
      "least_seconds": 300.0,
      "phase_seconds": 3600.0,
    },
  }
