"""The throughput of each operation as an SVG, which reads in light and in dark."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_WIDTH = 720
_LEFT = 150
_RIGHT = 90
_BAR = 18
_GAP = 6
_HEAD = 34
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .axis { fill: #59636e; font-size: 12px }
  .bar { fill: #8c959f }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .axis { fill: #9198a1 }
    .bar { fill: #656c76 }
    .ours { fill: #4493f8 }
  }
"""


def plot(figures: Mapping[str, Any]) -> str:
    """One group of bars for each operation, at the last number of connections."""
    connections = figures["plan"]["connections"][-1]
    body: list[str] = []
    y = 8
    for operation in figures["plan"]["operations"]:
        rates = {
            name: level["rate"]
            for name, target in figures["targets"].items()
            if (level := target["operations"].get(operation, {}).get(str(connections)))
        }
        if rates:
            body += _group(operation, rates, y)
            y += _HEAD + len(rates) * (_BAR + _GAP) + 8
    label = f"operations a second, one core, {connections} connections; longer is better"
    body.append(f'<text class="axis" x="{_LEFT}" y="{y + 14}">{label}</text>')
    height = y + 26
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{label}">\n<style>{_STYLE}</style>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _group(operation: str, rates: Mapping[str, float], top: int) -> Iterator[str]:
    """Each group has a scale of its own: the operations differ by more than the services do."""
    yield f'<text class="title" x="{_LEFT}" y="{top + 20}">{operation}</text>'
    scale = (_WIDTH - _LEFT - _RIGHT) / max(rates.values())
    for row, (name, rate) in enumerate(rates.items()):
        y = top + _HEAD + row * (_BAR + _GAP)
        middle = y + _BAR - 4
        width = max(1, rate * scale)
        yield f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect class="bar{" ours" * (name == "ours")}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
        yield f'<text x="{_LEFT + width + 8:.1f}" y="{middle}">{rate:,.0f}</text>'
