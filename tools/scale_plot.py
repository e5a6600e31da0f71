#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws docs/scale.svg from the tables of docs/SCALE.md: what a node pays against the size of its cluster, both axes
logarithmic, with a dashed line that grows as n and a dotted one that grows as n squared.

    tools/scale_plot.py [ROOT]      ROOT is the project's folder unless given
"""
import math
import re
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP = 330, 230, 62, 34
PANELS = (  # title, first words of the table's head, column
    ("at rest: CPU a node, ms/s", "| nodes | at rest", "CPU a node, ms/s"),
    ("at rest: memory a node, KB", "| nodes | at rest", "memory a node, KB"),
    ("at rest: sent a node, B/s", "| nodes | at rest", "sent a node, B/s"),
    ("under load: CPU an increment and node, µs", "| nodes | increments/s a node | sent",
     "CPU an increment and node, µs"),
)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def number(text: str) -> float:
    found = re.match(r"[\d.]+", text.replace(",", ""))
    return float(found.group()) if found else 0.0


def column(lines: list[str], head: str, name: str) -> list[tuple[float, float]]:
    """(nodes, value) of each row; rows without a value are left out."""
    at = next(i for i, line in enumerate(lines) if line.startswith(head))
    titles = cells(lines[at])
    place = next(i for i, title in enumerate(titles) if title.endswith(name))
    points = []
    for line in lines[at + 2:]:
        if not line.startswith("|"):
            break
        row = cells(line)
        if number(row[place]) > 0:
            points.append((number(row[0]), number(row[place])))
    return points


def line_of(points: list[tuple[float, float]], style: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" {style}/>'


def panel(title: str, points: list[tuple[float, float]]) -> str:
    low = math.floor(math.log10(min(y for _, y in points)))
    high = math.ceil(math.log10(max(y for _, y in points)))
    high += high == low

    def place(n: float, value: float) -> tuple[float, float]:
        x = (math.log10(n) - math.log10(2)) / (math.log10(1500) - math.log10(2)) * WIDTH
        y = HEIGHT - (math.log10(value) - low) / (high - low) * HEIGHT
        return x, y

    out = [f'<text x="0" y="-12" font-weight="bold">{title}</text>',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>']
    for power in range(low, high + 1):
        _, y = place(3, 10.0 ** power)
        out.append(f'<line x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{10.0 ** power:,.10g}</text>')
    for n in (3, 10, 30, 100, 300, 1000):
        x, _ = place(n, 10.0 ** low)
        out.append(f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{n}</text>')
    start_n, start = points[len(points) // 2]
    for power, dash in ((1, "6 4"), (2, "2 3")):
        guide = [(n, start * (n / start_n) ** power) for n in (start_n, 1500)]
        top = 10.0 ** high
        if guide[1][1] > top:
            guide[1] = (start_n * (top / start) ** (1 / power), top)
        out.append(line_of([place(*p) for p in guide], f'stroke="#888" stroke-dasharray="{dash}"'))
    out.append(line_of([place(*p) for p in points], 'stroke="#06c" stroke-width="2"'))
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#06c"/>' for x, y in (place(*p) for p in points)]
    return "\n".join(out)


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    lines = (root / "docs/SCALE.md").read_text(encoding="utf-8").splitlines()
    step_x, step_y = WIDTH + LEFT + 24, HEIGHT + TOP + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * step_x + 16}" height="{2 * step_y + 10}" '
           'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    for i, (title, head, name) in enumerate(PANELS):
        x, y = LEFT + i % 2 * step_x, TOP + i // 2 * step_y
        out.append(f'<g transform="translate({x} {y})">\n{panel(title, column(lines, head, name))}\n</g>')
    out.append("</svg>\n")
    (root / "docs/scale.svg").write_text("\n".join(out), encoding="utf-8")


main()
