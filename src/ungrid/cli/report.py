"""A report: one HTML file with pictures, curves and tables inside it. It loads nothing and runs nothing.

Convention: pictures are (H, W, c) in [0, 1]; a curve is a list of (x, y) pairs.
"""

import base64
import html
import io
import math
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ungrid import __version__
from ungrid._base.errors import InputError
from ungrid.cli.picture import as_rgb
from ungrid.cli.run import readable

Curve = list[tuple[float, float]]

WIDTH, HEIGHT, LEFT, BOTTOM = 460, 260, 62, 34  # of a chart, and of its margins for the labels
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")
STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#667085;--line:#e4e7ec;--paper:#fff;--back:#f6f7f9}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#98a2b3;--line:#333a45;--paper:#1b2028;--back:#12151a}}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.55 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 2px}h2{font-size:19px;margin:0 0 8px}p{max-width:75ch}
.soft,figcaption{color:var(--soft);font-size:13px}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin-top:18px}
.row{display:flex;flex-wrap:wrap;gap:16px}figure{margin:0;flex:0 1 auto;min-width:0}
img{max-width:100%;display:block;border-radius:4px;image-rendering:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:3px 18px 3px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{font-weight:600}td:first-child{color:var(--soft)}svg text{fill:var(--soft);font:11px system-ui,sans-serif}
"""


@dataclass
class Report:
    """A page that grows section by section."""

    title: str
    parts: list[str] = field(default_factory=list)

    def text(self, heading: str, paragraph: str) -> None:
        """A heading with a paragraph below it."""
        self.parts.append(f"<section><h2>{html.escape(heading)}</h2><p>{html.escape(paragraph)}</p></section>")

    def pictures(self, heading: str, pictures: dict[str, np.ndarray]) -> None:
        """Pictures beside each other, each with its caption."""
        figures = "".join(
            f'<figure><img src="{_data_uri(values)}" alt="{html.escape(caption)}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for caption, values in pictures.items()
        )
        self.parts.append(f'<section><h2>{html.escape(heading)}</h2><div class="row">{figures}</div></section>')

    def curves(self, heading: str, charts: dict[str, dict[str, Curve]], *, x: str = "seconds") -> None:
        """Charts beside each other: each its y label, and its curves by name. A label with "loss" has a log scale."""
        drawn = "".join(
            f"<figure>{chart(curves, x=x, y=label, log='loss' in label)}</figure>" for label, curves in charts.items()
        )
        self.parts.append(f'<section><h2>{html.escape(heading)}</h2><div class="row">{drawn}</div></section>')

    def table(self, heading: str, rows: dict[str, Any]) -> None:
        """Names and values; a value that is a dictionary becomes the cells of its row, under the names of its keys."""
        if rows:
            self.parts.append(f"<section><h2>{html.escape(heading)}</h2>{_table(rows)}</section>")

    def write(self, path: Path) -> None:
        """Write the page; the target appears whole or not at all."""
        made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
            f'<body><main><h1>{html.escape(self.title)}</h1><div class="soft">ungrid {__version__}, {made}</div>'
            f"{''.join(self.parts)}</main></body></html>"
        )
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(page, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise InputError(
                f"cannot write {path} ({error.strerror})", "a place with room and permission to write"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def chart(curves: dict[str, Curve], *, x: str, y: str, log: bool = False) -> str:
    """Curves as an SVG drawing with axes, ticks and a legend; points that are not finite are left out."""
    kept = {
        name: [p for p in curve if all(map(math.isfinite, p)) and (p[1] > 0 or not log)]
        for name, curve in curves.items()
    }
    points = [point for curve in kept.values() for point in curve]
    if not points:
        return f"<p>{html.escape(y)}: nothing to draw</p>"
    low_x, high_x = _span([p[0] for p in points])
    low_y, high_y = _span([math.log10(p[1]) if log else p[1] for p in points])

    def place(point: tuple[float, float]) -> tuple[float, float]:
        up = math.log10(point[1]) if log else point[1]
        right = (point[0] - low_x) / (high_x - low_x) * (WIDTH - LEFT - 12)
        return LEFT + right, 12 + (1 - (up - low_y) / (high_y - low_y)) * (HEIGHT - BOTTOM - 12)

    drawn = [_axis_lines(_ticks(low_x, high_x), _ticks(low_y, high_y), place, log)]
    for k, (name, curve) in enumerate(kept.items()):
        dots = [place(point) for point in curve]
        line = " ".join(f"{right:.1f},{down:.1f}" for right, down in dots)
        colour = COLOURS[k % len(COLOURS)]
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [f'<circle cx="{right:.1f}" cy="{down:.1f}" r="2.5" fill="{colour}"/>' for right, down in dots]
        if len(kept) > 1:
            drawn.append(f'<circle cx="{LEFT + 12}" cy="{22 + 15 * k}" r="4" fill="{colour}"/>')
            drawn.append(f'<text x="{LEFT + 21}" y="{26 + 15 * k}">{html.escape(name)}</text>')
    drawn.append(f'<text x="{WIDTH - 8}" y="{HEIGHT - 4}" text-anchor="end">{html.escape(x)}</text>')
    drawn.append(f'<text x="4" y="10">{html.escape(y)}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">{"".join(drawn)}</svg>'


def _axis_lines(ticks_x: list[float], ticks_y: list[float], place: Any, log: bool) -> str:
    base, drawn = HEIGHT - BOTTOM, []
    for tick in ticks_y:
        value = 10**tick if log else tick
        height = place((0.0, value))[1]
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{height:.1f}" y2="{height:.1f}" stroke="#8884"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for tick in ticks_x:
        right = place((tick, 1.0))[0]
        drawn.append(f'<text x="{right:.1f}" y="{base + 15}" text-anchor="middle">{tick:.4g}</text>')
    drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{base}" y2="{base}" stroke="#888"/>')
    return "".join(drawn)


def _span(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.5 * (abs(low) or 1.0) if high == low else 0.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers in [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _table(rows: dict[str, Any]) -> str:
    columns = next((list(value) for value in rows.values() if isinstance(value, dict)), None)
    head = "" if columns is None else "<tr><th></th>" + "".join(f"<th>{html.escape(c)}</th>" for c in columns) + "</tr>"
    body = ""
    for name, value in rows.items():
        cells = [value.get(c) for c in columns] if columns is not None and isinstance(value, dict) else [value]
        filled = "".join(f"<td>{html.escape(readable(cell))}</td>" for cell in cells)
        body += f"<tr><td>{html.escape(name.replace('_', ' '))}</td>{filled}</tr>"
    return f"<table>{head}{body}</table>"


def _data_uri(values: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(as_rgb(values)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
