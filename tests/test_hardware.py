"""Peaks of chips."""

import pytest

from eartalk_jax.telemetry.hardware import chip, chip_named


@pytest.mark.parametrize(
  "kind, name",
  [
    ("TPU v4", "v4"),
    ("TPU v5 lite", "v5e"),
    ("TPU v5", "v5p"),
    ("TPU v5p", "v5p"),
    ("TPU v6 lite", "v6e"),
    ("TPU7x", "tpu7x"),
    ("NVIDIA A100-SXM4-80GB", "a100"),
    ("NVIDIA H100 80GB HBM3", "h100"),
    ("NVIDIA H200", "h200"),
    ("NVIDIA B200", "b200"),
  ],
)
def test_the_kinds_that_jax_reports_are_known(kind, name):
  found = chip(kind)
  assert found.name == name and found == chip_named(name)
  # bfloat16 products and memory keep step in every chip made so far.
  assert 100 < found.peak_flops / found.hbm_bytes_per_second < 700
  assert found.dcn_bytes_per_second < found.ici_bytes_per_second


@pytest.mark.parametrize("kind", ["cpu", "TPU v99", "NVIDIA H100 PCIe", ""])
def test_what_is_not_known_is_not_guessed(kind):
  assert chip(kind) is None
