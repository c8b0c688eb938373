"""Imports between the rooms of the package point inward, no approach imports another, kernels know no files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import talik

ROOT = Path(talik.__file__).parent
SHARED = tuple(sorted(p.stem for p in ROOT.glob("*.py") if not p.stem.startswith("__")))
"""Modules beside the rooms, for all of them."""
INWARD = ("flux", "posts", "regions", "sources", "products", "trends", "compare")
"""From the inside out; a room may import those before it."""
APPROACHES = ("upscaling", "inventory", "tem", "fusion", "ensembles")
AROUND = ("workflow", "report")
"""What pages and steps of a section stand on; such modules are in the room of the section."""
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    **{room: INWARD[:place] for place, room in enumerate(INWARD)},
    "trends": (*INWARD[: INWARD.index("trends")], *AROUND),
    "compare": (*INWARD[:-1], *AROUND),
    **dict.fromkeys(APPROACHES, (*INWARD[:-1], *AROUND)),
    "forcing": (*INWARD[:-1], *AROUND, "tem"),
    "workflow": ("sources",),
    "budget": (*INWARD[:-1], "workflow"),
    # the page of a project stands outermost, what it draws with (`DRAWING`) further in than all pages
    "report": (*INWARD, "workflow", "budget", "fusion"),
}
"""Rooms that a room may import. One that is not named here stands outermost: no room of this table may import it."""

KERNELS = (
    "flux/table.py",
    "posts/combine.py",
    "posts/distributions.py",
    *(f"regions/{m}.py" for m in ("coverage", "ellipsoid", "overlaps", "sphere")),
    *(f"trends/{m}.py" for m in ("kernels", "prewhitening")),
    *(f"compare/{m}.py" for m in ("correlation", "scores")),
    *(f"upscaling/{m}.py" for m in ("distances", "grow", "packed", "shapley_paths", "trees", "walk")),
    "inventory/thaw/kernels.py",
    "ensembles/cell_kernels.py",
    *(
        f"tem/{m}.py"
        for m in ("acceleration", "biogeochemistry", "calendar", "communities", "fehlberg", "model")
    ),
    *(f"tem/{m}.py" for m in ("pools", "radiation", "rates", "runge_kutta", "soil", "vegetation", "water")),
    "tem/permafrost/layers.py",
    "tem/permafrost/hyperbola.py",
    *(
        f"tem/thermal/{m}.py"
        for m in ("column", "daily", "exact", "freezing", "grid", "materials", "snow", "year")
    ),
    *(
        f"fusion/{m}.py"
        for m in ("acm1", "acm2", "constraints", "coordinates", "dalec", "disturbance", "drivers")
    ),
    *(
        f"fusion/{m}.py"
        for m in ("leapfrog", "likelihood", "outputs", "parameters", "phenology", "posterior")
    ),
    *(f"fusion/{m}.py" for m in ("prior", "target", "trajectory")),
)
"""The innermost ring: plain arrays in and out."""
LABELS_AND_FILES = {"xarray", "pandas", "netCDF4", "zarr", "dask", "pydantic", "yaml", "typer", "matplotlib"}
SETTINGS_AND_FILES = {"config", "files", "provenance", "yamlio", "records", "sources", "report", "workflow"}


def imported_by(path: Path) -> set[str]:
    """Full names of what a module imports anywhere in it, `from a import b` as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
    return found


def talik_parts(names: set[str]) -> set[str]:
    """Rooms and shared modules of talik among imports."""
    return {n.split(".")[1] for n in names if n.startswith("talik.")}


def rooms_imported_by(room: str) -> set[str]:
    return talik_parts(set().union(*map(imported_by, (ROOT / room).rglob("*.py")))) - {room, *SHARED}


@pytest.mark.parametrize("approach", APPROACHES)
def test_no_approach_imports_another(approach: str):
    assert rooms_imported_by(approach).isdisjoint(APPROACHES)


DRAWING = ("style", "html", "numbers", "tables", "page_tables", "maps", "map_images", "taylor")


@pytest.mark.parametrize("module", DRAWING)
def test_what_pages_draw_with_knows_no_page(module: str):
    rooms = talik_parts(imported_by(ROOT / "report" / f"{module}.py"))
    assert not rooms & {"compare", "fusion", "workflow", *APPROACHES}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_inward(room: str):
    assert rooms_imported_by(room) <= set(MAY_IMPORT[room])


def test_what_rooms_share_imports_no_room():
    for module in SHARED:
        assert talik_parts(imported_by(ROOT / f"{module}.py")) <= set(SHARED), module


def test_nothing_imports_the_command_line():
    users = [p for p in ROOT.rglob("*.py") if "cli" in talik_parts(imported_by(p)) and p.parent.name != "cli"]
    assert users == [ROOT / "__main__.py"]


@pytest.mark.parametrize("module", KERNELS)
def test_kernels_know_no_files_labels_or_settings(module: str):
    names = imported_by(ROOT / module)
    assert {n.split(".")[0] for n in names}.isdisjoint(LABELS_AND_FILES)
    assert talik_parts(names).isdisjoint(SETTINGS_AND_FILES)
