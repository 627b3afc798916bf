"""The law that losses follow, what runs cost, and the best run for a budget.

  L(N, D) = E + A / N^alpha + B / D^beta          loss
  C(N, D) = k N^p D                               FLOPs; 6 N D if not measured

Setting the derivative of L along constant C to zero gives

  N* = G (C / k)^(beta / s),  D* = C / (k N*^p),  s = alpha + p beta,
  G = (alpha A / (p beta B))^(1 / s).

N are parameters and D tokens of training. All functions work on arrays, so a
law may hold one number or one for each resample.
"""

import dataclasses

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.scaling.points import RANGE

NAMES = ("E", "A", "B", "alpha", "beta")


@dataclasses.dataclass(frozen=True)
class Law:
  """Constants of the loss, each a number or an array of them."""

  E: float
  A: float
  B: float
  alpha: float
  beta: float

  def loss(self, params, tokens):
    """The loss after training `params` parameters on `tokens` tokens."""
    return self.E + self.A * params**-self.alpha + self.B * tokens**-self.beta

  def __getitem__(self, index):
    return Law(*(getattr(self, name)[index] for name in NAMES))


@dataclasses.dataclass(frozen=True)
class Cost:
  """FLOPs of training as k N^p D.

  Attributes:
    factor: k.
    power: p.
    deviation: by how much it misses the counted FLOPs at worst, as a share.
    source: in words.
  """

  factor: float = 6.0
  power: float = 1.0
  deviation: float = 0.0
  source: str = "6 x params x tokens: the file has no column flops"

  def flops(self, params, tokens):
    """FLOPs of a run."""
    return self.factor * params**self.power * tokens

  def tokens(self, params, flops):
    """Tokens on which `flops` train `params` parameters."""
    return flops / (self.factor * params**self.power)


def cost_of(points):
  """The Cost that the points' FLOPs follow, by least squares in logarithms."""
  if points.flops is None:
    return Cost()
  n, each = np.log(points.params), points.flops / points.tokens
  power, log_factor = np.polyfit(n, np.log(each), 1)
  if np.ptp(n) < 0.1:
    power, log_factor = 1.0, np.mean(np.log(each) - n)
  fitted = np.exp(log_factor + power * n)
  return Cost(
    float(np.exp(log_factor)),
    float(power),
    float(np.abs(fitted / each - 1).max()),
    "the column flops",
  )


def optimum(law, cost, flops):
  """(params, tokens) with the lowest loss that `flops` can buy."""
  s = law.alpha + cost.power * law.beta
  ratio = law.alpha * law.A / (cost.power * law.beta * law.B)
  params = ratio ** (1 / s) * (flops / cost.factor) ** (law.beta / s)
  return params, cost.tokens(params, flops)


def best_loss(law, cost, flops):
  """The loss of the best run for a budget."""
  return law.loss(*optimum(law, cost, flops))


def flops_for(law, cost, loss):
  """The smallest budget whose best run reaches `loss`; inf where none does."""
  # Along the optimum both terms fall as one power of C.
  power = law.alpha * law.beta / (law.alpha + cost.power * law.beta)
  at = cost.factor
  above = best_loss(law, cost, at) - law.E
  with np.errstate(invalid="ignore", divide="ignore"):
    found = at * np.divide(above, loss - law.E) ** (1 / power)
  return np.where(loss > law.E, found, np.inf)


def share_exponents(law, cost):
  """(a, b): optimal params grow as C^a, optimal tokens as C^b."""
  a = law.beta / (law.alpha + cost.power * law.beta)
  return a, 1 - cost.power * a


def read_runs(text):
  """[(params, tokens, loss or None)] out of "1e8:2e9,3e8:2e9:2.31".

  Raises:
    UserError: that is not what it says.
  """
  runs = []
  for part in filter(None, (text or "").split(",")):
    try:
      params, tokens, *loss = (float(number) for number in part.split(":"))
      (loss,) = loss or [None]
    except ValueError:
      raise UserError(
        f"--at {part}: give PARAMS:TOKENS or PARAMS:TOKENS:LOSS, such as "
        "1e8:2e9"
      ) from None
    said = {"params": params, "tokens": tokens}
    if loss is not None:
      said["loss"] = loss
    for name, value in said.items():
      least, most = RANGE[name]
      if not least <= value <= most:
        raise UserError(
          f"--at {part}: {name} {value:g} is not from {least:g} to {most:g}; "
          "give absolute counts"
        )
    runs.append((params, tokens, loss))
  return runs
