"""Plots as inline SVG: lines, stacked bars, and bands behind them for what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 190
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 24
COLOURS = ("#3b7dd8", "#d8743b", "#3ba776", "#a34fb5", "#c9a227", "#5b6b7b", "#c7435a", "#2aa5b8", "#7a8f2f", "#8a5a3c")
DASHES = ("none", "7 3", "2 2", "8 2 2 2")
"""Of lines, so that they can be told apart without colours, too."""


@dataclass(frozen=True, slots=True)
class Band:
    """Something that lasted from one layer to another."""

    begin: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class _Scale:
    """From layers and values to places."""

    layers: int
    top: float

    def x(self, layer: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(layer, 0), self.layers) / max(1, self.layers)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / (self.top or 1)


def lines(series: Mapping[str, Sequence[float]], bands: Sequence[Band] = ()) -> str:
    """One line for each name, a value for each layer."""
    layers = max((len(values) for values in series.values()), default=1)
    scale = _Scale(layers, max((max(values, default=0) for values in series.values()), default=1))
    parts = [_frame(scale, bands)]
    for number, values in enumerate(series.values()):
        places = " ".join(f"{scale.x(layer):.1f},{scale.y(value):.1f}" for layer, value in enumerate(values))
        parts.append(f'<polyline points="{places}" fill="none" {_stroke(number)}/>')
    return _figure(parts, series, _line_key)


def bars(series: Mapping[str, Sequence[float]], bands: Sequence[Band] = ()) -> str:
    """Bars, one above the other, a value of each name for each layer."""
    layers = max((len(values) for values in series.values()), default=1)
    sums = [sum(values[layer] for values in series.values()) for layer in range(layers if series else 0)]
    scale = _Scale(layers, max(sums, default=1))
    parts = [_frame(scale, bands)]
    below = [0.0] * layers
    width = max(0.6, (WIDTH - LEFT - RIGHT) / max(1, layers) - 0.6)
    for number, (name, values) in enumerate(series.items()):
        for layer, value in enumerate(values):
            if value:
                y, base = scale.y(below[layer] + value), scale.y(below[layer])
                place = f'x="{scale.x(layer):.1f}" y="{y:.1f}" width="{width:.1f}" height="{base - y:.1f}"'
                title = f"<title>layer {layer}: {escape(name)} {value:g}</title>"
                parts.append(f'<rect {place} fill="{COLOURS[number % len(COLOURS)]}">{title}</rect>')
                below[layer] += value
    return _figure(parts, series, _bar_key)


def _frame(scale: _Scale, bands: Sequence[Band]) -> str:
    parts = []
    for band in bands:
        x, end = scale.x(band.begin), scale.x(band.end)
        place = f'x="{x:.1f}" y="{TOP}" width="{max(1.5, end - x):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
        parts.append(f'<rect class="band" {place}><title>{escape(band.label)}</title></rect>')
    for part in range(5):
        value = scale.top * part / 4
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    step = max(1, -(-scale.layers // 10))
    for layer in range(0, scale.layers + 1, step):
        parts.append(f'<text x="{scale.x(layer):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{layer}</text>')
    return "".join(parts)


def _stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    return f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.6" stroke-dasharray="{dash}"'


def _line_key(number: int) -> str:
    return f'<svg class="key" viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5H30" {_stroke(number)}/></svg>'


def _bar_key(number: int) -> str:
    return f'<i style="background:{COLOURS[number % len(COLOURS)]}"></i>'


def _figure(parts: Sequence[str], series: Mapping[str, Sequence[float]], key: Callable[[int], str]) -> str:
    keys = "".join(f"<span>{key(number)}{escape(name)}</span>" for number, name in enumerate(series))
    said = escape(f"by layer: {', '.join(series)}")
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
        f"<figcaption>{keys}</figcaption></figure>"
    )


def short(value: float) -> str:
    """A number in a few letters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"
