"""Pieces of an HTML report."""

import base64
import html


def section(title, content):
  """A box with a headline; nothing without content."""
  if not content:
    return ""
  return f"<section><h2>{html.escape(title)}</h2>{content}</section>"


def tiles(pairs):
  """Large figures side by side, from (label, value)."""
  cells = "".join(
    f"<div class=tile><b>{value}</b><span>{label}</span></div>"
    for label, value in pairs
  )
  return f"<div class=tiles>{cells}</div>"


def image(data, alt):
  """A PNG, inlined; nothing without data."""
  if not data:
    return ""
  text = base64.b64encode(data).decode()
  return f'<img alt="{alt}" src="data:image/png;base64,{text}">'


def table(head, rows, numbers=()):
  """A table of HTML cells; columns in `numbers` are aligned right."""

  def row(cells, tag):
    return "".join(
      f"<{tag}{' class=n' if i in numbers else ''}>{cell}</{tag}>"
      for i, cell in enumerate(cells)
    )

  body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
  return (
    f"<div class=wide><table><thead><tr>{row(head, 'th')}</tr></thead>"
    f"<tbody>{body}</tbody></table></div>"
  )


def page(title, style, parts):
  """The whole page.

  Args:
    title: of the page.
    style: HTML with {{title}} and {{body}}.
    parts: HTML, one after the other; empty ones are left out.
  """
  filled = style.replace("{{title}}", html.escape(title))
  return filled.replace("{{body}}", "\n".join(part for part in parts if part))
