"""Draws the plots of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.figure import Figure as Drawing

from bench.cells import GROWTH, Cell, big, small_get
from bench.peers import PEERS
from bench.report import PLOTS
from bench.results import Median, Medians, Results

_COLOURS = dict(zip(PEERS, ("#9a9a9a", "#d1495b", "#30638e", "#edae49", "#e58a96", "#7fa6c4"), strict=True))
_CELLS = (small_get(1), small_get(50), small_get(50, 16), small_get(500), big("GET"), big("SET"))
_DPI = 90
Figure = Callable[[Median], float | None]


def draw(results: Results, folder: Path) -> None:
    """Write every plot of the page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    medians = results.medians()
    proxies = [name for name in PEERS if name != "direct"]
    _bars(folder / "cpu.png", medians, proxies, lambda median: median.cpu_us, "µs per command")
    _bars(folder / "rate.png", medians, list(PEERS), lambda median: median.rate_per_s, "commands per second")
    _bars(folder / "latency.png", medians, list(PEERS), lambda median: median.p99_ms, "ms")
    _growth(folder / "growth.png", medians)
    _memory(folder / "memory.png", results)


def _bars(path: Path, medians: Medians, names: Sequence[str], figure: Figure, unit: str) -> None:
    """Draw a panel for each cell, each with a scale of its own."""
    drawing, panels = pyplot.subplots(2, 3, figsize=(11, 5.6), layout="constrained")
    for panel, cell in zip(panels.flat, _CELLS, strict=True):
        shown = [(name, value) for name in names if (value := _value(medians, name, cell, figure)) is not None]
        panel.barh([name for name, _ in shown], [value for _, value in shown], color=[_COLOURS[n] for n, _ in shown])
        panel.invert_yaxis()
        panel.set_title(str(cell), fontsize=10)
        panel.tick_params(labelsize=8)
    _save(drawing, path, unit)


def _value(medians: Medians, name: str, cell: Cell, figure: Figure) -> float | None:
    found = medians.get((name, cell))
    return figure(found) if found else None


def _growth(path: Path, medians: Medians) -> None:
    drawing, panel = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name in ("redisproxy", "haproxy", "twemproxy"):
        points = [(c.clients, m.cpu_us) for c in GROWTH if (m := medians.get((name, c))) and m.cpu_us is not None]
        panel.plot([x for x, _ in points], [y for _, y in points], "o-", label=name, color=_COLOURS[name])
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.set_xlabel("clients (GET 3 B, P=1)")
    panel.set_ylabel("µs per command")
    panel.legend()
    _save(drawing, path)


def _memory(path: Path, results: Results) -> None:
    drawing, panel = pyplot.subplots(figsize=(7, 2.4), layout="constrained")
    names = [each.peer for each in results.idle]
    sizes = [each.bytes_per_client / 1024 for each in results.idle]
    panel.barh(names, sizes, color=[_COLOURS[name] for name in names])
    panel.invert_yaxis()
    panel.set_xlabel("KiB for each idle client")
    _save(drawing, path)


def _save(drawing: Drawing, path: Path, unit: str = "") -> None:
    drawing.suptitle(PLOTS[path.name] + (f" ({unit})" if unit and unit not in PLOTS[path.name] else ""), fontsize=12)
    drawing.savefig(path, dpi=_DPI, metadata={"Software": None})
    pyplot.close(drawing)
