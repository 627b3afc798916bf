"""The coordinate check: flat in width, and it can tell when it is not."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from talkers import TINY

from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import OptimizerConfig
from eartalk_jax.recipes import ear
from eartalk_jax.scaling import coordinate_plot, coordinates
from launch import widths

WIDTHS = (32, 64, 256)
MODEL = dataclasses.replace(
  TINY, depth=1, controls=(), latent_shape=(4, 4, 8), window=2
)
OPTIMIZER = OptimizerConfig(peak_lr=1e-2, warmup_steps=0, decay="constant")


@pytest.fixture(scope="module")
def measured():
  return coordinates.measure(ear, MODEL, OPTIMIZER, WIDTHS, steps=4)


def test_activations_keep_their_size_only_in_maximal_update_form(measured):
  slopes = coordinates.slopes(WIDTHS, measured)
  for name, (path, what) in coordinates.judged(MODEL).items():
    assert abs(slopes["mup"][path][what]) < coordinates.FLAT, name
  standard = slopes["standard"]
  for path in ("backbone", "head/layers_0", "head"):
    assert standard[path]["change"] > coordinates.FLAT, path
  assert standard["head"]["change"] > 0.4


def test_both_forms_are_one_at_the_base_and_begin_as_one_at_all(measured):
  for path, standard in measured["standard"].items():
    mup = measured["mup"][path]
    for what in ("scale", "change"):
      np.testing.assert_allclose(mup[what][0], standard[what][0], rtol=1e-4)
    np.testing.assert_array_equal(mup["scale"][:, 0], standard["scale"][:, 0])
    assert not mup["change"][:, 0].any()


def test_the_picture_has_a_panel_for_each_form_and_activation(
  measured, tmp_path
):
  judged = coordinates.judged(MODEL)
  figure = coordinate_plot.picture(measured, WIDTHS, judged)
  assert len(figure.axes) == 2 * len(judged)
  coordinate_plot.draw(measured, WIDTHS, judged, tmp_path / "x.png")
  with Image.open(tmp_path / "x.png") as image:
    assert image.width > image.height > 300


def test_a_slope_is_the_power_of_the_width():
  widths = np.array(WIDTHS)
  assert coordinates.slope(widths, 3 * widths**-0.7) == pytest.approx(-0.7)


@pytest.mark.parametrize(
  "words",
  [["64"], ["64", "32"], ["64", "x"], [], ["64", "\u00b2"], ["64", "9" * 5000]],
)
def test_widths_that_are_none_are_refused(words):
  with pytest.raises(UserError, match="--widths"):
    widths.parse_widths(words)
