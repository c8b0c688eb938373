"""What is drawn is what the posts say, and nothing runs off the canvas or into something else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from talik.report.figures import BARS, FIGURES, alt_text, budget_bars, gwp_stack, variance_shares
from talik.report.numbers import decimals_for, label, number, quantity
from talik.report.style import png, svg


def texts(fig: Figure) -> list[tuple[str, object]]:
    """Visible texts with their boxes, in pixels."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    hidden = set()
    for axis in (a for ax in fig.axes for a in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        hidden |= {id(t.label1) for t in axis.get_major_ticks() if not low <= t.get_loc() <= high}
    found = fig.findobj(
        lambda a: isinstance(a, Text) and a.get_visible() and a.get_text().strip() and id(a) not in hidden
    )
    return [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in found]


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_on_the_canvas_large_enough_and_not_overlapping(published, name, width):
    fig = FIGURES[name][0](published, width)
    assert fig is not None
    boxes = texts(fig)
    assert boxes
    page = fig.bbox
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.x1 <= page.width + 1, text
        assert box.y0 >= -1, text
        assert box.y1 <= page.height + 1, text
    sizes = [t.get_fontsize() for t in fig.findobj(Text) if t.get_text().strip() and t.get_visible()]
    assert min(sizes) >= 9
    if name.startswith("component_flow") and width == "narrow":
        return  # labels of neighbouring columns may touch there; each stands on its own white ground
    for (a, box_a), (b, box_b) in itertools.combinations(boxes, 2):
        across = min(box_a.x1, box_b.x1) - max(box_a.x0, box_b.x0)
        along = min(box_a.y1, box_b.y1) - max(box_a.y0, box_b.y0)
        assert min(across, along) <= 2, f"{a!r} overlaps {b!r}"


def test_bars_end_at_the_limits(published):
    fig = budget_bars(published)
    posts = published.evaluation.posts
    for ax, gas in zip(fig.axes, ("CO2", "CH4", "N2O"), strict=True):
        lines = [line for line in ax.lines if line.get_linewidth() == 7]
        drawn = [tuple(line.get_xdata()) for line in lines]
        expected = [(posts[i, gas].low, posts[i, gas].high) for i in BARS if (i, gas) in posts]
        assert drawn == expected


def test_stacks_add_up_to_the_net(published):
    ax = gwp_stack(published).axes[0]
    diamonds = [float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "D"]
    rows: dict[float, float] = {}
    for bar in ax.patches:
        y = bar.get_y() + bar.get_height() / 2
        rows[round(y, 6)] = rows.get(round(y, 6), 0.0) + bar.get_width()
    np.testing.assert_allclose(list(rows.values()), diamonds)


def test_shares_are_those_of_the_limits(published):
    fig = variance_shares(published)
    drawn = sum(bar.get_width() for bar in fig.axes[0].patches)
    assert drawn == pytest.approx(300, abs=3)  # three assumptions, 100 % each; six largest of six inputs


@pytest.mark.parametrize("name", FIGURES)
def test_any_budget_is_drawn_or_left_out(hostile, name):
    for width in ("wide", "narrow"):
        fig = FIGURES[name][0](hostile, width)
        if fig is not None:
            assert png(fig).startswith(b"\x89PNG")
    assert alt_text(name, hostile)


def test_equal_figures_have_equal_bytes(published):
    first, second = budget_bars(published), budget_bars(published)
    assert svg(first) == svg(second)
    assert png(first) == png(second)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((-29.34, -708.4, 454.9), "−29 (−708, 455)"),
        ((0.672, 0.071, 1.293), "0.67 (0.07, 1.29)"),
        ((9.4, 4.5, 13.1), "9.4 (4.5, 13.1)"),
        ((0.002, 0.001, 0.003), "0.0020 (0.0010, 0.0030)"),
        ((430.6, -476.8, 1131.9), "431 (−477, 1 132)"),
        ((-0.0001, -20, 20), "0 (−20, 20)"),
        ((5, 5, 5), "5.00 (5.00, 5.00)"),
    ],
)
def test_numbers_are_shown_to_the_digits_their_limits_support(values, text):
    assert quantity(*values).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


def test_labels():
    assert label("bottom_up.natural") == "Natural ecosystems, bottom-up"
    assert label("my_own.thing_here") == "Thing here, my own"
    assert label("single") == "Single"
    assert number(-0.0, 1) == "0.0"
    assert decimals_for(float("nan")) == 2
