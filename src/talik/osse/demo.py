"""The demo: a project file on a made-up world, and what it says of every approach in the end."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from talik.errors import ConfigError
from talik.files import read_json, write_text
from talik.osse.section import RESULT

PROJECT, RECIPES = "project.yaml", "recipes.yaml"
_MODEL = '{{profile: TRENDY, files: ["world/models/{name}_*.nc"], soil_carbon: bulk, litter_in_soil: true}}'


def write_project(out: Path, seed: int = 0, *, force: bool = False) -> Path:
    """Write the demo's project file into a folder; one that is there stays, unless `force`.

    ConfigError: a project file of another seed is there, and would be taken for this one's; or recipes of somebody
    else, which are not written over.
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
    recipes = resources.files("talik.osse").joinpath("data", RECIPES).read_text(encoding="utf-8")
    if not force and (out / RECIPES).exists() and (out / RECIPES).read_text(encoding="utf-8") != recipes:
        raise ConfigError(
            f"{out / RECIPES}: is there already and is not that of the demo. Choose another folder with --out."
        )
    write_text(out / RECIPES, recipes)
    return write_text(path, text)


def told(out: Path) -> str:
    """Where each approach stands against the truth, in lines of ASCII."""
    found: dict[str, Any] = read_json(out / RESULT)
    first, last = found["period"]
    rows = [row for row in found["approaches"] if row["variable"] == found["variable"]]
    region = found["main_region"]
    head = f"  {'':38s} {'estimate':>9s}  {'95 % limits':>18s} {'truth':>8s}  truth inside?"
    lines = [
        "",
        f"A made-up Arctic, {first}-{last}, {region}: net ecosystem exchange, Tg C yr-1 (release positive)",
        "",
        head,
    ]
    for row in rows:
        if row["region"] == region:
            own = row["name"] not in (row["approach"], row["variable"])
            lines.append(_line(f"{row['approach']}, {row['name']}" if own else row["approach"], row))
    if found["pixels"]:
        lines += ["", "Fused pixels, g C m-2 yr-1:", ""]
        lines += [
            _line(f"{row['pixel']} {row['quantity']} ({row['quality'].replace('_', ' ')})", row)
            for row in found["pixels"]
        ]
    posts = [row for row in (*found["posts"], *found["budget"]) if not row["post"].startswith("total.")]
    if posts:
        lines += ["", "Budget, Tg of the element yr-1, beside the truth of what each number covers:", ""]
        lines += [_line(f"{row['post']} {row['gas']}", row) for row in posts]
    return "\n".join(lines)


def _line(name: str, row: dict[str, Any]) -> str:
    limits = "none" if row["low"] is None else f"({row['low']:.0f}, {row['high']:.0f})"
    inside = {True: "yes", False: "NO", None: "-"}[row["inside"]]
    return f"  {name:38s} {row['mean']:9.0f}  {limits:>18s} {row['truth']:8.0f}  {inside}"
