"""The component diagram: inputs on the left, recipes to the right, bands as wide as the contributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Curve

from talik.budget.compute import Budget
from talik.posts import Post, PostKey
from talik.report.numbers import gas_name, number, short_label, unit_name
from talik.report.style import BLUE, INCHES, INK, ORANGE, Width, look, wrapped

NODE = 0.018  # width of a node, share of the figure


@dataclass
class _Node:
    key: PostKey
    level: int
    size: float = 0.0
    y: float = 0.0
    used_in: float = 0.0
    used_out: float = 0.0


def component_flow_co2(budget: Budget, width: Width = "wide") -> Figure | None:
    """The diagram of the natural CO2 total."""
    return component_flow(budget, ("bottom_up.natural", "CO2"), width)


def component_flow_ch4(budget: Budget, width: Width = "wide") -> Figure | None:
    """The diagram of the natural CH4 total."""
    return component_flow(budget, ("bottom_up.natural", "CH4"), width)


def component_flow(budget: Budget, target: PostKey, width: Width = "wide") -> Figure | None:
    """How `target` is made: every recipe below it, with weights; None if there is no such post."""
    posts = budget.evaluation.posts
    if target not in budget.evaluation.weights:
        target = next((p.key for p in budget.evaluation.derived if p.gas == target[1]), target)
        if target not in budget.evaluation.weights:
            return None
    links = _links(target, posts)
    nodes = _levels(target, links)
    if len(nodes) > 40:
        return None
    flows = {(a, b): w * posts[a].mean for (a, b), w in links.items()}
    for node in nodes.values():
        arriving = sum(abs(f) for (_, b), f in flows.items() if b == node.key)
        leaving = sum(abs(f) for (a, _), f in flows.items() if a == node.key)
        node.size = max(arriving, leaving, abs(posts[node.key].mean))
    scale = _place(nodes, links, target)
    with look():
        rows = max(sum(n.level == lv for n in nodes.values()) for lv in range(len(nodes)))
        height = (0.9 + 0.72 * rows) if width == "wide" else (1.0 + 0.9 * rows)
        fig = Figure(figsize=(INCHES[width], max(height, 2.6)))
        ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.set_axis_off()
        deepest = max(n.level for n in nodes.values())
        left, right = (0.2, 0.82) if width == "wide" else (0.02, 0.74)
        x = {lv: right - (right - left) * lv / max(deepest, 1) for lv in range(deepest + 1)}
        for (a, b), weight in sorted(links.items(), key=lambda item: -nodes[item[0][0]].y):
            _band(ax, nodes[a], nodes[b], flows[a, b], x, scale, weight)
        for node in nodes.values():
            _draw_node(ax, node, posts[node.key], x[node.level], scale, deepest, width)
        ax.set_xlim(0, 1)
        ax.set_ylim(-0.03, 1.03)
        unit = unit_name(posts[target].unit)
        fig.text(
            0.99,
            0.012,
            f"{gas_name(target[1])}, {unit}",
            ha="right",
            va="bottom",
            fontsize=9,
            color="#4a5763",
        )
    return fig


def _links(target: PostKey, posts: Mapping[PostKey, Post]) -> dict[tuple[PostKey, PostKey], float]:
    """Direct contributions below `target`: (from, to) to weight."""
    links: dict[tuple[PostKey, PostKey], float] = {}
    todo = [target]
    while todo:
        key = todo.pop()
        recipe = posts[key].recipe
        if recipe is None:
            continue
        for source, weight in recipe.direct_weights().items():
            links[source, key] = weight
            todo.append(source)
    return links


def _levels(target: PostKey, links: Mapping[tuple[PostKey, PostKey], float]) -> dict[PostKey, _Node]:
    """Distance to the target (longest way); posts without a recipe go one step left of their user."""
    nodes = {target: _Node(target, 0)}
    changed = True
    while changed:
        changed = False
        for a, b in links:
            if b in nodes:
                level = nodes[b].level + 1
                if a not in nodes or nodes[a].level < level:
                    nodes[a] = _Node(a, level)
                    changed = True
    return nodes


def _place(
    nodes: Mapping[PostKey, _Node], links: Mapping[tuple[PostKey, PostKey], float], target: PostKey
) -> float:
    """Set the vertical centre of every node (0..1, each level in the order of the tree); return height per unit."""
    order: list[PostKey] = []

    def walk(key: PostKey) -> None:
        for a, b in links:
            if b == key and a not in order:
                walk(a)
        if key not in order:
            order.append(key)

    walk(target)
    levels: dict[int, list[_Node]] = {}
    for key in order:
        levels.setdefault(nodes[key].level, []).append(nodes[key])
    most = max(len(column) for column in levels.values())
    gap = 0.62 / max(most, 2)
    largest = max(sum(n.size for n in column) for column in levels.values()) or 1.0
    scale = max(0.05, min(0.9 - gap * (most - 1), 0.5)) / largest
    for column in levels.values():
        total = sum(n.size for n in column) * scale
        spacing = (1 - total) / (len(column) + 1)
        y = 1.0
        for node in column:
            y -= spacing
            node.y = y - node.size * scale / 2
            y -= node.size * scale
    return scale


def _band(
    ax: Axes, a: _Node, b: _Node, flow: float, x: Mapping[int, float], scale: float, weight: float
) -> None:
    thick = abs(flow) * scale
    x0, x1 = x[a.level] + NODE, x[b.level]
    top0 = a.y + a.size * scale / 2 - a.used_out
    top1 = b.y + b.size * scale / 2 - b.used_in
    a.used_out += thick
    b.used_in += thick
    mid = (x0 + x1) / 2
    vertices = [
        (x0, top0),
        (mid, top0),
        (mid, top1),
        (x1, top1),
        (x1, top1 - thick),
        (mid, top1 - thick),
        (mid, top0 - thick),
        (x0, top0 - thick),
        (x0, top0),
    ]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    colour = BLUE if flow < 0 else ORANGE
    ax.add_patch(PathPatch(Curve(vertices, codes), facecolor=colour, alpha=0.38, lw=0.6, edgecolor=colour))
    if abs(weight - 1) > 1e-9:
        ax.text(
            x1 - 0.006,
            top1 - thick / 2,
            f"×{weight:.2g}",
            ha="right",
            va="center",
            fontsize=9,
            color=INK,
            bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.8},
        )


def _draw_node(ax: Axes, node: _Node, post: Post, x: float, scale: float, deepest: int, width: Width) -> None:
    height = max(node.size * scale, 0.004)
    colour = BLUE if post.mean < 0 else ORANGE
    ax.add_patch(Rectangle((x, node.y - height / 2), NODE, height, facecolor=colour, lw=0))
    decimals = 1 if abs(post.mean) < 100 else 0
    name, value = short_label(post.id), number(post.mean, decimals)
    if width == "wide" and node.level == deepest:
        text = f"{wrapped(name, 22)}\n{value}"
        ax.text(x - 0.008, node.y, text, ha="right", va="center", fontsize=9, linespacing=1.15)
    elif node.level == 0:
        text = f"{wrapped(name, 12)}\n{value}"
        ax.text(x + NODE + 0.008, node.y, text, ha="left", va="center", fontsize=9.5, weight="bold")
    else:
        ax.text(
            x,
            node.y + height / 2 + 0.01,
            wrapped(f"{name} {value}", 26 if width == "wide" else 13),
            ha="left",
            va="bottom",
            fontsize=9,
            linespacing=1.1,
            bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.6},
        )
