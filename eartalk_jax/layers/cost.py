"""What a matrix product costs, in closed form."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Product:
  """Matrix products of one shape.

  Attributes:
    part: of the model, see `scaling.flops`.
    inside, outside: sides of the matrix.
    rows: vectors that go through it for each latent frame; 0 for parameters
      that are only added.
    copies: matrices like it.
    bias: whether it has one.
    of_data: its input is data, so the backward pass needs no gradient of it.
    weights: False where both factors are activations, or where the matrix has
      been counted before.
  """

  part: str
  inside: float
  outside: float
  rows: float
  copies: int = 1
  bias: bool = True
  of_data: bool = False
  weights: bool = True

  @property
  def flops(self):
    """Two for each multiplication."""
    return 2 * self.inside * self.outside * self.rows * self.copies

  @property
  def parameters(self):
    """Numbers in all matrices and biases."""
    one = self.inside * self.outside + self.outside * self.bias
    return one * self.copies * self.weights
