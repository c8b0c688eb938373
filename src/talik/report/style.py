"""One look for every figure: colours that colour-blind readers can tell apart, fonts that ship with matplotlib."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from talik.files import whole_file

Width = Literal["wide", "narrow"]
INCHES: dict[str, float] = {"wide": 9.2, "narrow": 4.0}

# Okabe and Ito (2008), readable on white and told apart by colour-blind readers
BLUE, SKY, GREEN, ORANGE, RED, PURPLE, GREY, INK = (
    "#0072b2",
    "#56b4e9",
    "#009e73",
    "#e69f00",
    "#d55e00",
    "#cc79a7",
    "#8a8f98",
    "#22303c",
)
SIDE = {"bottom_up": BLUE, "top_down": RED}
GAS = {"CO2": BLUE, "CH4": ORANGE, "N2O": GREEN}
SERIES = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Colours and markers of approaches and models, in their order."""
ASSUMPTION = {"linear": GREY, "independent": BLUE, "correlated": RED}

_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.edgecolor": "#9aa3ad",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": "#4a5763",
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9.5,
    "svg.hashsalt": "talik",
    "svg.fonttype": "path",
    "figure.facecolor": "white",
}


@contextmanager
def look() -> Iterator[None]:
    """matplotlib settings of talik, for the length of a `with` block."""
    with mpl.rc_context(_RC):
        yield


def svg(figure: Figure) -> str:
    """The figure as SVG text; equal figures give equal bytes."""
    out = io.StringIO()
    with look():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": "talik"})
    return out.getvalue()


def png(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    out = io.BytesIO()
    with look():
        figure.savefig(out, format="png", dpi=dpi, metadata={"Software": "talik"})
    return out.getvalue()


def zero_line(ax: Axes) -> None:
    """A line at zero, where uptake and release part."""
    ax.axvline(0, color=INK, lw=0.9, zorder=1)


def quiet(ax: Axes) -> None:
    """Horizontal bars need no y ticks and no left spine, but a light grid in x."""
    ax.grid(axis="x", color="#e6e9ed", lw=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def wrapped(text: str, columns: int) -> str:
    """The text on lines of at most `columns` letters, never broken at a hyphen."""
    return "\n".join(textwrap.wrap(text, columns, break_on_hyphens=False)) or text


def nothing_to_draw(title: str, why: str) -> Figure:
    """A figure that says why there is none."""
    with look():
        figure = Figure(figsize=(INCHES["wide"], 1.2))
        figure.text(0.5, 0.5, f"{title}: {why}", ha="center", va="center")
    return figure


def write_figures(figures: Iterable[tuple[str, Figure | None]], folder: Path) -> list[Path]:
    """Each named figure that there is as PNG and SVG in `folder`."""
    written = []
    for name, figure in figures:
        if figure is None:
            continue
        for suffix, content in ((".png", png(figure)), (".svg", svg(figure).encode())):
            path = Path(folder) / f"{name}{suffix}"
            with whole_file(path) as part:
                part.write_bytes(content)
            written.append(path)
    return written
