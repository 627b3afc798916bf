"""Which of a run's samples a process makes: the rows that its devices need."""


class Rows:
  """Some rows of every batch, one after another: a source for Grain.

  However rows are shared out, sample number n of the run is row n % batch of
  batch n // batch.
  """

  def __init__(self, samples, batch, rows):
    """Takes samples[n] of all n.

    Args:
      samples: a sequence.
      batch: samples in a batch, over all processes.
      rows: numbers of those that are taken, below `batch`.
    """
    self._samples, self._batch, self._rows = samples, batch, rows

  def __len__(self):
    # A run repeats for ever, which is sys.maxsize to Grain: it rounds up.
    return len(self._samples) // (2 * self._batch) * len(self._rows)

  def __getitem__(self, index):
    step, row = divmod(index, len(self._rows))
    return self._samples[step * self._batch + self._rows[row]]
