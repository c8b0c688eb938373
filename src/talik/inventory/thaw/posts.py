"""Abrupt thaw as budget posts: carbon of CO2 and of CH4 by terrain, with limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from talik.errors import PostError
from talik.files import write_text
from talik.inventory.limits import of_draws
from talik.inventory.thaw.result import Run, Span, TerrainRun, total
from talik.inventory.thaw.simulate import Kind
from talik.inventory.thaw.terrain import PostRule, Terrain
from talik.posts.post import GASES, Post
from talik.posts.published import REGION
from talik.posts.rows import to_csv


def posts(run: Run, span: Span | None = None) -> list[Post]:
    """Posts of every terrain that has an id, for CO2 and CH4 (mass of carbon), positive to the atmosphere.

    `span` is one of `run.spans`, by default the first (2000-2020). Limits are the 2.5 and 97.5 % quantiles of the
    draws. A post names the class of land cover that it lies inside (`part_of`): never add the two. PostError: another
    span.
    """
    chosen = run.spans[0] if span is None else span
    if chosen not in run.spans:
        known = ", ".join(f"{first}-{last}" for first, last in run.spans)
        raise PostError(
            f"abrupt thaw: no limits for {chosen[0]}-{chosen[1]}; this run has them for {known}. Choose one of those."
        )
    return [
        post
        for key, terrain in run.table.terrains.items()
        if terrain.post is not None
        for post in _of_terrain(run, terrain, terrain.post, run.terrains[key], chosen)
    ]


def _of_terrain(run: Run, terrain: Terrain, rule: PostRule, found: TerrainRun, span: Span) -> list[Post]:
    s = run.settings
    area = sum(float(c.mean_area(*span, c.counted(s.scope, rule.states))[0]) for c in found.courses.values())
    counted = {
        name
        for c in found.courses.values()
        for name, inside in zip(c.states, c.counted(s.scope, rule.states), strict=True)
        if inside
    }
    order = [name for part in terrain.parts.values() for name in part.states]
    told = ", ".join(name.replace("_", " ") for name in dict.fromkeys(order) if name in counted)
    if not counted:
        return []
    choice = terrain.notes.get(s.scenario)
    note = (
        f"{rule.note} States counted: {told}. Scenario {run.table.scenarios[s.scenario]}; mean from 1 January "
        f"{span[0]} to 1 January {span[1]}; limits: {s.draws} draws of {len(terrain.leading)} numbers (seed {s.seed})."
        + (f" {choice}" if choice else "")
    )
    made = []
    gases: tuple[tuple[str, Kind], ...] = (("CO2", "co2"), ("CH4", "ch4"))
    for gas, kind in gases:
        middle = float(total(found.courses, kind, span, s.scope, rule.states)[0])
        drawn = total(found.draws, kind, span, s.scope, rule.states)
        limits = of_draws(drawn, middle)
        made.append(
            Post(
                id=rule.id,
                gas=gas,
                mean=limits.mean,
                low=limits.low,
                high=limits.high,
                unit=GASES[gas],
                region=REGION,
                period=f"{span[0]}-{span[1]}",
                approach="inventory",
                source=run.table.source,
                part_of=rule.part_of,
                origin="non-fossil" if gas == "CH4" else None,
                covers=frozenset() if rule.partly else frozenset({"abrupt_thaw"}),
                partly=frozenset({"abrupt_thaw"}) if rule.partly else frozenset(),
                area_mkm2=area * 1e-6,
                note=note,
            )
        )
    return made


def standing_alone(found: Sequence[Post]) -> list[Post]:
    """The posts for a file of their own: a parent that is not among them is told in the note, not in `part_of`."""
    ids = {post.id for post in found}
    return [
        post
        if post.part_of is None or post.part_of in ids
        else replace(
            post,
            part_of=None,
            note=f"Part of {post.part_of}: in a file that holds it, set part_of to it. {post.note}",
        )
        for post in found
    ]


def write_posts(found: Sequence[Post], path: Path) -> Path:
    """Write posts as CSV that `talik budget FILE` reads; numbers keep every digit."""
    return write_text(path, to_csv(standing_alone(found)))
