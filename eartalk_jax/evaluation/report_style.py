"""How a report looks: the page around its content."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<style>
:root { --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; --page: #f7f8fa;
  --good: #0f766e; --bad: #b42318; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 20px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px;
  letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0 0 12px; }
p { color: var(--soft); margin: 0 0 14px; max-width: 72ch; }
section { background: white; border: 1px solid var(--line);
  border-radius: 10px; padding: 22px 24px; margin-top: 18px; }
img { max-width: 100%; display: block; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 22px; }
.tile { flex: 1 1 150px; background: white; border: 1px solid var(--line);
  border-radius: 10px; padding: 14px 18px; }
.tile b { display: block; font-size: 26px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 14px; }
.film { display: flex; gap: 24px; align-items: center; flex-wrap: wrap; }
.film video { width: 320px; max-width: 100%; border-radius: 8px;
  background: #000; }
.film p { flex: 1 1 280px; margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 15px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; }
th, td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; padding-right: 24px; }
code, pre { font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; }
td code { overflow-wrap: anywhere; }
pre { overflow-x: auto; background: var(--page); padding: 12px;
  border-radius: 6px; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--soft); }
.mark { font-weight: 600; }
.mark.pass { color: var(--good); }
.mark.FAIL { color: var(--bad); }
</style>
</head>
<body><main>
{{body}}
</main></body>
</html>
"""
