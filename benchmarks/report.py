"""From samples to figures, and from figures to a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from load import Idle, Sample

__all__ = ["BARS", "bar_table", "bars", "case_table", "figures", "idle_figures", "idle_table", "stalls"]

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
            "client_share": statistics.median(sample.client / sample.wall for sample in taken),
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


def idle_figures(samples: dict[str, list[Idle]]) -> Figures:
    """For each kind the median of its bytes, and its ratio to the first kind, round by round."""
    baseline = next(iter(samples.values()))
    return {
        kind: {
            "connections": taken[0].connections,
            "rss": spread([sample.rss for sample in taken]),
            "private": spread([sample.private for sample in taken]),
            "private_ratio": spread([m.private / o.private for m, o in zip(taken, baseline, strict=True)]),
        }
        for kind, taken in samples.items()
    }


@dataclass(frozen=True)
class Bar:
    """What the lab is to reach, in one case.

    Attributes:
        name: for people.
        case: the beginning of the case's name.
        ratio: "rate_ratio", "cpu_ratio" or "private_ratio", of `ours` to `theirs`; "cpu_share": what `ours`
            uses more CPU than `theirs`, as a share of what `whole` uses.
        asked: at least this for a rate, at most this for a cost.
    """

    name: str
    case: str
    ratio: str
    asked: float
    ours: str = "lab"
    theirs: str = "stock"
    whole: str = "stock"


BARS = (
    Bar("echo 64 B × 1: rate", "Echo, 64 B", "rate_ratio", 1.5),
    Bar("echo 1 KiB × 10: rate", "Echo, 1 KiB × 10", "rate_ratio", 1.8),
    Bar("pipelined 64 B: rate", "Pipelined", "rate_ratio", 1.3),
    Bar("echo 64 KiB × 1: rate", "Echo, 64 KiB", "rate_ratio", 1.3),
    Bar("connection set-up: CPU", "Set-up and close", "cpu_ratio", 0.7),
    Bar("idle connection: memory", "Idle", "private_ratio", 0.6),
    Bar("capture, echo 64 B × 1: CPU", "Echo, 64 B", "cpu_ratio", 1.05, theirs="lab-off"),
    Bar("capture, echo 1 KiB × 10: CPU", "Echo, 1 KiB × 10", "cpu_ratio", 1.05, theirs="lab-off"),
    Bar("capture, pipelined: CPU", "Pipelined", "cpu_ratio", 1.05, theirs="lab-off"),
    Bar("capture, echo 64 KiB × 1: CPU", "Echo, 64 KiB", "cpu_ratio", 1.05, theirs="lab-off"),
    Bar("capture, echo 64 B × 1: share of stock", "Echo, 64 B", "cpu_share", 0.05, theirs="lab-off"),
    Bar("capture, echo 1 KiB × 1: share of stock", "Echo, 1 KiB × 1 c", "cpu_share", 0.05, theirs="lab-off"),
    Bar("of it lines, echo 64 B × 1", "Echo, 64 B", "cpu_share", 0.05, theirs="lab-lines-off"),
    Bar(
        "capture, broadcast: share of stock",
        "Broadcast",
        "cpu_share",
        0.02,
        ours="lab-app",
        theirs="lab-app-off",
        whole="fastapi",
    ),
)

SATURATED = 0.85
"""Share of its core above which the client, and not the server, decides how many messages pass."""

IDLE_SHARE = 0.1
"""Share of both cores together below which a case was spent waiting."""


def bars(samples: dict[str, dict[str, list[Any]]]) -> list[dict[str, Any]]:
    """What was reached of each of `BARS` that was measured; `samples` by the case's name and the kind."""
    found = []
    for bar in BARS:
        kinds = next((kinds for name, kinds in samples.items() if name.startswith(bar.case)), {})
        if bar.ours not in kinds or bar.theirs not in kinds:
            continue
        if bar.ratio == "cpu_share":
            if bar.whole not in kinds:
                continue
            ours, by = _share(kinds[bar.ours], kinds[bar.theirs], kinds[bar.whole]), "CPU share"
        else:
            ours, by = _reached(bar, kinds[bar.ours], kinds[bar.theirs])
        limit = None
        if bar.theirs == "stock" and "picows" in kinds:
            limit = _reached(bar, kinds["picows"], kinds["stock"])[0]
        at_least = bar.ratio == "rate_ratio"
        found.append(
            {
                "bar": bar.name,
                "asked": f"{'≥' if at_least else '≤'} {bar.asked}",
                "reached": ours,
                "by": by,
                "met": ours[0] >= bar.asked if at_least else ours[0] <= bar.asked,
                "cpu_gain": _gain(kinds[bar.ours], kinds[bar.theirs]) if at_least else None,
                "p50_gain": _p50_gain(kinds[bar.ours], kinds[bar.theirs]) if at_least else None,
                "picows": limit,
            }
        )
    return found


def _reached(bar: Bar, ours: list[Any], theirs: list[Any]) -> tuple[list[float], str]:
    """The ratios of the rounds, and what they were taken of."""
    pairs = list(zip(ours, theirs, strict=True))
    if bar.ratio == "private_ratio":
        return spread([mine.private / other.private for mine, other in pairs]), "memory"
    if bar.ratio == "cpu_ratio":
        return spread([mine.cpu / other.cpu for mine, other in pairs]), "CPU"
    if max(client_share(ours), client_share(theirs)) > SATURATED:
        return _gain(ours, theirs), "CPU"
    return spread([mine.rate / other.rate for mine, other in pairs]), "rate"


def _share(ours: list[Sample], theirs: list[Sample], whole: list[Sample]) -> list[float]:
    """What `ours` uses more CPU than `theirs`, as a share of `whole`."""
    rounds = zip(ours, theirs, whole, strict=True)
    return spread([(mine.cpu - other.cpu) / base.cpu for mine, other, base in rounds])


def _gain(ours: list[Sample], theirs: list[Sample]) -> list[float]:
    """How much more could be done with the same CPU time."""
    return spread([other.cpu / mine.cpu for mine, other in zip(ours, theirs, strict=True)])


def _p50_gain(ours: list[Sample], theirs: list[Sample]) -> list[float]:
    """How much sooner half of the answers are there: what others do on the machine hardly meets those."""
    typical = [[percentile(sample.round_trips, 0.5) for sample in taken] for taken in (ours, theirs)]
    return spread([other / mine for mine, other in zip(*typical, strict=True)])


def client_share(samples: Sequence[Sample]) -> float:
    """How much of its core the client used, in the median sample."""
    return statistics.median(sample.client / sample.wall for sample in samples)


def stalls(samples: dict[str, dict[str, list[Sample]]]) -> list[str]:
    """Where neither server nor client worked: what was measured there is a wait."""
    found = []
    for case, kinds in samples.items():
        for kind, taken in kinds.items():
            server = statistics.median((sample.user + sample.system) / sample.wall for sample in taken)
            client = client_share(taken)
            if server + client < IDLE_SHARE:
                found.append(
                    f"{case}, {kind}: the server worked {server:.0%} of the time, the client {client:.0%}. "
                    "They wait for something, as for Nagle's algorithm and a delayed acknowledgement: is "
                    "TCP_NODELAY set on what the server accepts? asyncio sets it where the listening socket "
                    "was made with IPPROTO_TCP."
                )
    return found


def bar_table(reached: list[dict[str, Any]]) -> str:
    """The bars as a Markdown table."""
    rows = [
        [
            row["bar"] + (", by CPU" if row["by"] == "CPU" and row["cpu_gain"] else ""),
            row["asked"],
            ratio(row["reached"]),
            "met" if row["met"] else "not met",
            ratio(row["p50_gain"]) if row["p50_gain"] else "",
            ratio(row["cpu_gain"]) if row["cpu_gain"] else "",
            ratio(row["picows"]) if row["picows"] else "",
        ]
        for row in reached
    ]
    head = ["bar", "asked ×", "reached ×", "", "sooner (p50) ×", "work per CPU second ×", "picows ×"]
    return _table(head, rows)


def idle_table(titles: dict[str, str], found: Figures) -> str:
    """A Markdown table of what idle connections hold."""
    rows = [
        [
            titles[kind],
            f"{figure['connections']:,}",
            f"{figure['private'][0] / 1024:.2f}",
            ratio(figure["private_ratio"]) if number else "1",
            f"{figure['rss'][0] / 1024:.2f}",
        ]
        for number, (kind, figure) in enumerate(found.items())
    ]
    return _table(["server", "connections", "private KiB each", "private ×", "resident KiB each"], rows)


def case_table(unit: str, titles: dict[str, str], found: Figures) -> str:
    """A Markdown table, aligned, so that it can be read in a terminal as well."""
    plural = {"delivery": "deliveries", "echo": "echoes"}.get(unit, f"{unit}s")
    head = [
        "server",
        f"{plural}/s",
        "rate ×",
        f"CPU µs/{unit} (least)",
        "CPU ×",
        "of it kernel",
        "client busy",
    ]
    timed = any("round_trip_ms" in figure for figure in found.values())
    rows = []
    for number, (kind, figure) in enumerate(found.items()):
        rate, (cpu, least, _) = figure["rate"][0], figure["cpu_us"]
        ratios = [ratio(figure[name]) if number else "1" for name in ("rate_ratio", "cpu_ratio")]
        spent = f"{cpu:.1f} ({least:.1f})"
        shares = [f"{figure['system_share']:.0%}", f"{figure['client_share']:.0%}"]
        row = [titles[kind], f"{rate:,.0f}", ratios[0], spent, ratios[1], *shares]
        if timed:
            times = figure["round_trip_ms"]
            row.append(f"{times['p50']:.3f} / {times['p99']:.3f}")
        rows.append(row)
    if timed:
        head.append("round trip p50 / p99 ms")
    return _table(head, rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
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
