"""The demo: a project file on a made-up world, and what it says of every approach in the end."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from talik.errors import ConfigError
from talik.files import write_text
from talik.osse.section import RESULT

PROJECT = "project.yaml"
_MODEL = '{{profile: TRENDY, files: ["world/models/{name}_*.nc"], soil_carbon: bulk, project: osse, litter_in_soil: true}}'


def write_project(out: Path, seed: int = 0, *, force: bool = False) -> Path:
    """Write the demo's project file into a folder; one that is there stays, unless `force`.

    ConfigError: a project file of another seed is there, and would be taken for this one's.
    """
    from talik.osse.geography import make_land
    from talik.osse.nature import columns_of_a_block, model_names
    from talik.osse.settings import WorldSettings

    world = WorldSettings(seed=seed)
    land = make_land(world)
    models = "\n".join(f"    {name}: {_MODEL.format(name=name)}" for name in model_names(world))
    path = out / PROJECT
    template = resources.files("talik.osse").joinpath("data", PROJECT).read_text(encoding="utf-8")
    text = template.format(
        seed=seed,
        block=columns_of_a_block(world),
        area=float(land.land_area_m2[~land.ice].sum()) / 1e12,
        models=models,
    )
    if path.exists() and not force:
        if path.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"{path}: is there already and is not the demo with seed {seed}. Run it with `talik run {path}`, "
                "or choose another folder with --out."
            )
        return path
    out.mkdir(parents=True, exist_ok=True)
    return write_text(path, text)


def told(out: Path) -> str:
    """Where each approach stands against the truth, in lines of ASCII."""
    found: dict[str, Any] = json.loads((out / RESULT).read_text(encoding="utf-8"))
    first, last = found["period"]
    lines = [
        "",
        f"A made-up Arctic, {first}-{last}: net ecosystem exchange, Tg C yr-1 (release to the atmosphere positive)",
        "",
        f"  {'approach':34s} {'estimate':>9s}  {'95 % limits':>18s} {'truth':>8s}  truth inside?",
    ]
    for row in found["approaches"]:
        if row["region"] == "domain" and row["variable"] == found["variable"]:
            own = row["name"] not in (row["approach"], row["variable"])
            lines.append(_line(f"{row['approach']}, {row['name']}" if own else row["approach"], row))
    rows = [*found["posts"], *found["budget"]]
    if rows:
        lines += ["", "Budget posts, Tg of the element yr-1, beside the truth of what they cover:", ""]
        lines += [_line(f"{row['post']} {row['gas']}", row) for row in rows]
    return "\n".join(lines)


def _line(name: str, row: dict[str, Any]) -> str:
    limits = "none" if row["low"] is None else f"({row['low']:.0f}, {row['high']:.0f})"
    inside = {True: "yes", False: "NO", None: "-"}[row["inside"]]
    return f"  {name:34s} {row['mean']:9.0f}  {limits:>18s} {row['truth']:8.0f}  {inside}"
