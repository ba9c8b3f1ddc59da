"""The figures as a page: a table in `docs/performance.md`, and the pictures beside it."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invctl.errors import NotFoundError
from scripts.benchmarks.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
PICTURES = DOCS / "performance"
BEGIN, END = "<!-- figures: scripts/bench --write -->\n", "<!-- end of figures -->\n"
_OURS, _OTHERS, _MISSED = "#2f6f8f", "#b8c4cc", "#c0694e"

# What users would pick instead, on a machine of the same kind (two cores, everything on loopback), not in the same run.
_CARRIERS: tuple[tuple[str, float], ...] = (
    ("NATS JetStream with acks", 5400),
    ("eventsourcing", 5000),
    ("FastStream, Redis Streams", 2300),
    ("outbox on PostgreSQL, FastStream", 1800),
    ("Celery", 1200),
)
_LATENCIES: tuple[tuple[str, float, float], ...] = (
    ("NATS JetStream with acks", 0.73, 1.37),
    ("FastStream, Redis Streams", 0.93, 1.73),
)
_RESERVERS: tuple[tuple[str, float], ...] = (
    ("plain PostgreSQL", 2100),
    ("eventsourcing", 1255),
    ("a SQLModel session", 1090),
    ("Medusa", 350),
    ("django-oscar", 290),
    ("the same idea behind HTTP", 108),
)


def write(figures: Sequence[Figure]) -> list[Path]:
    """Renew the page's table, and the pictures; what was not measured now stays as an earlier run measured it.

    Returns what was written. Raises NotFoundError without matplotlib.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise NotFoundError(
            "the package matplotlib is not installed", hint="install the extra: pip install -e '.[bench]'"
        ) from None
    mpl.use("svg")
    # The same figures give the same bytes.
    mpl.rcParams.update(
        {"svg.hashsalt": "invctl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    PICTURES.mkdir(exist_ok=True)
    figures = _with_earlier(figures)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n" + table(figures) + "\n" + END + after, encoding="utf-8")
    (PICTURES / "figures.json").write_text(
        json.dumps({"results": [figure.as_dict() for figure in figures]}, indent=1) + "\n", encoding="utf-8"
    )
    by_name = {figure.name: figure for figure in figures}
    written = [PAGE, PICTURES / "figures.json", _ratios(figures)]
    if "drain" in by_name:
        written.append(_race("drain", "events a second, store to head office", by_name["drain"].ours, _CARRIERS))
    if "reserve" in by_name:
        written.append(_race("reserve", "durable reservations a second", by_name["reserve"].ours, _RESERVERS))
    if {"latency_p50", "latency_p99"} <= by_name.keys():
        written.append(_latencies(by_name["latency_p50"], by_name["latency_p99"]))
    return written


def _with_earlier(figures: Sequence[Figure]) -> list[Figure]:
    """Return these figures among those that the page shows already, in its order."""
    kept = PICTURES / "figures.json"
    known = json.loads(kept.read_text(encoding="utf-8"))["results"] if kept.exists() else []
    by_name = {each["name"]: Figure.of_dict(each) for each in known}
    return list((by_name | {figure.name: figure for figure in figures}).values())


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table in Markdown, with what they were measured on."""
    lines = [
        f"Measured, or measured in part anew, on {date.today():%Y-%m-%d}, on {machine()}.",  # noqa: DTZ011 - the day here
        "",
        "| name | ours | reference | unit | ratio | to reach | reached | beside it |",
        "| --- | ---: | ---: | --- | ---: | --- | --- | --- |",
    ]
    for figure in figures:
        ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
        beside = ", ".join(f"{name} {value}" for name, value in figure.beside.items())
        goal = goal_of(figure.goal.ratio, figure.goal.ours, figure.better)
        reached = "yes" if figure.reached else "**no**"
        lines.append(
            f"| `{figure.name}` | {figure.ours:,.4g} | {figure.reference:,.4g} | {figure.unit} | {ratio} | {goal} |"
            f" {reached} | {beside} |"
        )
    return "\n".join(lines) + "\n"


def goal_of(ratio: float | None, ours: float | None, better: str) -> str:
    """Return in words what is to be reached."""
    bound = "at least" if better == "higher" else "at most"
    said = [f"{ratio:g}"] if ratio is not None else []
    said += [f"ours {ours:,g}"] if ours is not None else []
    return f"{bound} " + " and ".join(said)


def machine() -> str:
    """Return what this runs on, as far as it can be told."""
    return f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}"


def _ratios(figures: Sequence[Figure]) -> Path:
    """Draw how each figure stands to what it is to reach: at 1 it is there, beyond that it is better."""
    from matplotlib.figure import Figure as Picture  # noqa: PLC0415 - an extra

    shown = [(figure, share) for figure in reversed(figures) if (share := _share(figure)) is not None]
    picture = Picture(figsize=(7.0, 0.36 * len(shown) + 1.0), layout="constrained")
    axes = picture.subplots()
    bars = axes.barh(
        [figure.name for figure, _ in shown],
        [share for _, share in shown],
        color=[_OURS if figure.reached else _MISSED for figure, _ in shown],
    )
    axes.bar_label(bars, [f"{share:.2f}" for _, share in shown], padding=3)
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("of what is to be reached against the bare reference (1 is there, more is better)")
    return _saved(picture, "ratios")


def _share(figure: Figure) -> float | None:
    value, goal = (figure.ratio, figure.goal.ratio) if figure.goal.ratio else (figure.ours, figure.goal.ours)
    if not value or not goal:
        return None
    return value / goal if figure.better == "higher" else goal / value


def _race(name: str, unit: str, ours: float, others: Sequence[tuple[str, float]]) -> Path:
    """Draw ours beside what users would pick instead."""
    from matplotlib.figure import Figure as Picture  # noqa: PLC0415 - an extra

    shown = sorted([("invctl", ours), *others], key=lambda pair: pair[1])
    picture = Picture(figsize=(7.0, 0.36 * len(shown) + 0.9), layout="constrained")
    axes = picture.subplots()
    bars = axes.barh(
        [label for label, _ in shown],
        [value for _, value in shown],
        color=[_OURS if label == "invctl" else _OTHERS for label, _ in shown],
    )
    axes.bar_label(bars, [f"{value:,.0f}" for _, value in shown], padding=3)
    axes.set_xlabel(unit)
    return _saved(picture, name)


def _latencies(p50: Figure, p99: Figure) -> Path:
    """Draw the latencies: ours, the bare reference's, and others'."""
    from matplotlib.figure import Figure as Picture  # noqa: PLC0415 - an extra

    rows = [
        *(("invctl", p50.ours, p99.ours), ("bare: round trip and two commits", p50.reference, p99.reference)),
        *_LATENCIES,
    ]
    picture = Picture(figsize=(7.0, 0.5 * len(rows) + 0.9), layout="constrained")
    axes = picture.subplots()
    places = range(len(rows))
    for offset, index, label, colour in ((0.2, 1, "median", _OURS), (-0.2, 2, "99th percentile", _OTHERS)):
        values: list[Any] = [row[index] for row in reversed(rows)]
        bars = axes.barh([place + offset for place in places], values, height=0.36, label=label, color=colour)
        axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3)
    axes.set_yticks(list(places), [row[0] for row in reversed(rows)])
    axes.set_xlabel("milliseconds from commit to commit")
    axes.legend(loc="lower right", frameon=False)
    return _saved(picture, "latency")


def _saved(picture: Any, name: str) -> Path:
    path = PICTURES / f"{name}.svg"
    picture.savefig(path, metadata={"Date": None})
    return path
