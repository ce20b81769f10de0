"""From samples to figures, and from figures to a table."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from load import Sample

__all__ = ["case_table", "client_share", "figures"]

Figures = dict[str, dict[str, Any]]


def spread(values: Sequence[float]) -> list[float]:
    """[median, least, greatest]."""
    return [statistics.median(values), min(values), max(values)]


def figures(samples: dict[str, list[Sample]]) -> Figures:
    """For each kind the medians, and its ratios to the first kind, round by round."""
    baseline = next(iter(samples.values()))
    found: Figures = {}
    for kind, taken in samples.items():
        pairs = list(zip(taken, baseline, strict=True))
        found[kind] = {
            "rounds": len(taken),
            "rate": spread([sample.rate for sample in taken]),
            "cpu_us": spread([sample.cpu for sample in taken]),
            "system_share": statistics.median(s.system / (s.user + s.system) for s in taken),
            "rate_ratio": spread([mine.rate / other.rate for mine, other in pairs]),
            "cpu_ratio": spread([mine.cpu / other.cpu for mine, other in pairs]),
        }
        if taken[0].round_trips:
            found[kind]["round_trip_ms"] = {
                "p50": statistics.median(percentile(sample.round_trips, 0.5) for sample in taken) * 1e3,
                "p99": statistics.median(percentile(sample.round_trips, 0.99) for sample in taken) * 1e3,
            }
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def client_share(samples: Sequence[Sample]) -> float:
    """How much of its core the client used, in the median sample."""
    return statistics.median(sample.client / sample.wall for sample in samples)


def case_table(unit: str, titles: dict[str, str], found: Figures) -> str:
    """A Markdown table, aligned, so that it can be read in a terminal as well."""
    plural = {"delivery": "deliveries", "echo": "echoes"}.get(unit, f"{unit}s")
    head = ["server", f"{plural}/s", "rate ×", f"CPU µs/{unit} (least)", "CPU ×", "of it kernel"]
    timed = any("round_trip_ms" in figure for figure in found.values())
    rows = []
    for number, (kind, figure) in enumerate(found.items()):
        rate, (cpu, least, _) = figure["rate"][0], figure["cpu_us"]
        ratios = [ratio(figure[name]) if number else "1" for name in ("rate_ratio", "cpu_ratio")]
        spent = f"{cpu:.1f} ({least:.1f})"
        row = [titles[kind], f"{rate:,.0f}", ratios[0], spent, ratios[1], f"{figure['system_share']:.0%}"]
        if timed:
            times = figure["round_trip_ms"]
            row.append(f"{times['p50']:.3f} / {times['p99']:.3f}")
        rows.append(row)
    if timed:
        head.append("round trip p50 / p99 ms")
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [head, rule, *rows]
    return "\n".join(
        "| "
        + " | ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        )
        + " |"
        for line in lines
    )


def ratio(values: Sequence[float]) -> str:
    """``0.85 (0.83–0.88)``: median, and what the rounds ranged over."""
    return f"{values[0]:.2f} ({values[1]:.2f}–{values[2]:.2f})"
