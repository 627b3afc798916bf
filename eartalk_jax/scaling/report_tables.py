"""Tables of a fitted law's report, out of the value of fit.json."""

import html

from eartalk_jax.evaluation.report_parts import table
from eartalk_jax.scaling.law import NAMES

_WORDS = {
  "E": "loss that remains at infinite scale",
  "A": "scale of what size wins",
  "B": "scale of what training wins",
  "alpha": "exponent of params",
  "beta": "exponent of tokens",
  "a": "optimal params grow as C^a",
  "b": "optimal tokens grow as C^b",
}


def note(text):
  """A paragraph."""
  return f"<p>{text}</p>"


def number(value, digits=4):
  """A number as a cell of a table."""
  return "–" if value is None else f"{value:.{digits}g}"


def _range(row, name):
  low, high = row[f"{name}_low"], row[f"{name}_high"]
  return f"{number(low, 3)} – {number(high, 3)}"


def constants(found):
  """The constants of both fits."""
  projected = found["varpro"]
  rows = [
    [
      f"<code>{name}</code>",
      _WORDS[name],
      number(found[name], 6),
      _range(found, name),
      number(projected[name], 6),
      _range(projected, name),
    ]
    for name in (*NAMES, "a", "b")
  ]
  head = ["", "", "robust fit", "interval", "variable projection", "interval"]
  return table(head, rows, numbers=range(2, 6))


def optima(found):
  """The best run for some budgets."""
  names = ("params", "tokens", "tokens_per_param", "loss")
  rows = [
    [number(row["flops"], 3)]
    + [f"{number(row[name])}<br>{_range(row, name)}" for name in names]
    + [_range(row, "run")]
    for row in found["optimum"]
  ]
  head = ["FLOPs", "params", "tokens", "tokens per param", "loss"]
  return table([*head, "a single run"], rows, numbers=range(6))


def predictions(found):
  """Runs that were asked for, or kept from the fit."""
  rows = [
    [number(row[n]) for n in ("params", "tokens", "flops", "loss")]
    + [_range(row, "run"), number(row.get("measured")), _verdict(row)]
    for row in found["predictions"]
  ]
  if not rows:
    return ""
  head = ["params", "tokens", "FLOPs", "loss", "a single run", "measured", ""]
  return table(head, rows, numbers=range(6))


def _verdict(run):
  """Whether a run that was not fitted fell into its interval."""
  if "inside" not in run:
    return ""
  mark = "pass" if run["inside"] else "FAIL"
  return (
    f'<span class="mark {mark}">{"in" if run["inside"] else "out"}side</span>'
  )


def cross_checks(found):
  """Approaches 1 and 2, and budgets left out."""
  parts = []
  second, first = found["approach_2"], found["approach_1"]
  if second:
    text = (
      f"Approach 2, a parabola per budget: params grow as C^"
      f"{second['exponent']:.3f}, where the law says C^"
      f"{second['law_exponent']:.3f}; at {second['flops']:.3g} FLOPs it asks "
      f"for {second['params']:.3g} params and {second['tokens']:.3g} tokens."
    )
    if second["bias"]:
      text += (
        " On this very law without noise it would be off there by "
        f"{second['bias']['params']:+.1%} in params and "
        f"{second['bias']['tokens']:+.1%} in tokens: that is its own bias."
      )
    parts.append(note(text))
  if first:
    parts.append(
      note(
        "Approach 1, the lowest of the training curves: params grow as C^"
        f"{first['exponent']:.3f}."
      )
    )
  rows = [
    [
      number(row["flops"], 3) + (" (largest)" if row["beyond"] else ""),
      str(row["points"]),
      f"{row['error']:.2%}",
      f"{row['mean']:+.2%}",
      f"± {row['chance']:.2%}" if row["beyond"] else "",
    ]
    for row in found["leave_one_budget_out"]
  ]
  if rows:
    parts.append(note("Each budget predicted by the law of all other points:"))
    head = ["budget left out", "points", "error", "on average", "by chance"]
    parts.append(table(head, rows, numbers=range(5)))
  return "".join(parts)


def leverage(found, most=10):
  """Points that decide much."""
  rows = [
    [
      str(row["line"]),
      number(row["params"]),
      number(row["tokens"]),
      number(row["loss"]),
      number(row["leverage"], 2),
      f"{row['deviations']:+.1f}",
      f"{row['shift_alpha']:+.4f}",
      f"{row['shift_beta']:+.4f}",
      '<span class="mark FAIL">bends the law</span>' if row["gross"] else "",
    ]
    for row in found["leverage"][:most]
  ]
  if not rows:
    return ""
  text = (
    "Far from the other points, so they decide much. The miss is against the "
    "law of the others, in their robust standard deviations; the shifts are "
    "what leaving the point out would do."
  )
  head = ["line", "params", "tokens", "loss", "leverage", "miss", "alpha"]
  return note(text) + table([*head, "beta", ""], rows, numbers=range(8))


def speed_ups(found):
  """What other recipes save."""
  rows = [
    [
      html.escape(row["group"]),
      number(row["loss"]),
      number(row["flops"], 3),
      number(row["needed"], 3),
      number(row["speed_up"], 3),
      _range(row, "speed_up"),
    ]
    for row in found["speed_up"]
  ]
  if not rows:
    return ""
  head = ["recipe", "loss", f"FLOPs of {html.escape(found['group'])}"]
  head += ["FLOPs it needs", "times less", "interval"]
  return table(head, rows, numbers=range(1, 6))


def cells_table(cells):
  """The cells of a sweep, each linked to its run."""
  if not cells:
    return ""
  head = list(dict.fromkeys(k for cell in cells for k in cell if k != "run"))
  rows = [[_cell(cell, key) for key in head] for cell in cells]
  numbers = [
    i
    for i, key in enumerate(head)
    if any(isinstance(cell.get(key), float) for cell in cells)
  ]
  titles = [html.escape(key.replace("_", " ")) for key in head]
  return table(titles, rows, numbers)


def _cell(cell, key):
  value = cell.get(key)
  if value is None:
    return ""
  if isinstance(value, float):
    return number(value)
  text = html.escape(str(value))
  if key == "cell":
    return f'<a href="{html.escape(cell["run"])}">{text}</a>'
  return text
