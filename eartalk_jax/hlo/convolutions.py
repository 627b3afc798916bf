"""FLOPs of the products and convolutions of a compiled program.

A TPU's compiler writes matrix products as convolutions whose padding and
dilation make most taps miss; only those that hit count. Its multipliers take
bfloat16: what is asked for in more digits is computed in several passes, and
each counts.
"""

import functools
import math
import re

import numpy as np

# By the larger precision of the two operands.
_PASSES = {"highest": 6, "high": 3}


def product_flops(line, computation):
  """FLOPs of one instruction: two for each multiplication; else 0."""
  if line.opcode == "dot":
    return _dot_flops(line, computation) * _passes(line)
  if line.opcode == "convolution":
    return _convolution_flops(line, computation) * _passes(line)
  return 0


def _passes(line):
  found = re.search(r"operand_precision=\{([\w,]*)\}", line.rest)
  said = found.group(1).split(",") if found else ()
  return max((_PASSES.get(precision, 1) for precision in said), default=1)


def _dot_flops(line, computation):
  left = computation[line.operands[0]].result[0].shape
  found = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line.rest)
  summed = found.group(1).split(",") if found and found.group(1) else []
  inner = math.prod(left[int(index)] for index in summed)
  return 2 * math.prod(line.result[0].shape) * inner


def _convolution_flops(line, computation):
  image, kernel = (computation[name].result[0] for name in line.operands[:2])
  of_image, of_kernel, of_out = re.search(
    r"dim_labels=(\w+)_(\w+)->(\w+)", line.rest
  ).groups()
  window = re.search(r"window=\{([^}]*)\}", line.rest)
  settings = dict(
    part.split("=") for part in (window.group(1) if window else "").split()
  )
  hits = 1
  for index, label in enumerate(sorted(set(of_image) - {"b", "f"})):
    hits *= _hits(
      image.shape[of_image.index(label)],
      kernel.shape[of_kernel.index(label)],
      line.result[0].shape[of_out.index(label)],
      *(
        settings.get(name, "").split("x")[index] if name in settings else ""
        for name in ("stride", "pad", "lhs_dilate", "rhs_dilate")
      ),
    )
  groups = int(line.attribute("batch_group_count") or 1)
  # The kernel's own input features are already those of one feature group.
  return (
    2
    * hits
    * kernel.shape[of_kernel.index("i")]
    * kernel.shape[of_kernel.index("o")]
    * image.shape[of_image.index("b")]
    // groups
  )


@functools.cache
def _hits(size, taps, out, stride, pad, image_dilation, kernel_dilation):
  """How many (output, tap) pairs of one dimension meet a real input."""
  stride = int(stride or 1)
  image_dilation = int(image_dilation or 1)
  kernel_dilation = int(kernel_dilation or 1)
  before = int((pad or "0_0").split("_")[0])
  first = np.arange(out) * stride - before
  total = 0
  for tap in range(taps):
    place = first + tap * kernel_dilation
    inside = (place >= 0) & (place <= (size - 1) * image_dilation)
    total += int((inside & (place % image_dilation == 0)).sum())
  return total
