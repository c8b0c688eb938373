"""What `talik check` says of one file, by its content."""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talik.errors import TalikError
from talik.sources.doctor import GRID_MAGIC, YAML_ENDINGS, Examination, diagnose
from talik.sources.problem import Problem

if TYPE_CHECKING:
    from talik.flux.dataset import Problem as FluxProblem


def examined(path: Path) -> Examination:
    """What a file is and what is wrong with it: posts, recipes, a flux dataset, a site table, or a grid."""
    if path.is_file() and path.suffix.lower() in YAML_ENDINGS:
        return _yaml(path)
    if path.is_file() and path.suffix.lower() == ".csv" and _is_posts_table(path):
        return _posts(path)
    if (path / "zarr.json").is_file() or _is_netcdf(path):
        return _grid(path)
    return diagnose(path)


def _yaml(path: Path) -> Examination:
    from talik.yamlio import load_yaml

    try:
        content = load_yaml(path)
    except TalikError as err:
        return _one("yaml", str(err))
    keys: set[Any] = set(content) if isinstance(content, dict) else set()
    if "posts" in keys:
        return _posts(path)
    if keys == {"recipes"}:
        from talik.budget.files import read_recipes

        return _read(path, "recipes", read_recipes)
    return diagnose(path)


def _posts(path: Path) -> Examination:
    from talik.budget.compute import compute
    from talik.budget.files import read_posts
    from talik.budget.settings import BudgetSettings

    found = _read(path, "posts", lambda p: read_posts(p).posts)
    if found.usable:  # posts that each are right may not add up
        try:
            compute(path, BudgetSettings(draws=1000))
        except TalikError as err:
            return Examination("posts", found.n_rows, None, (Problem("error", "", str(err)),))
    return found


def _read(path: Path, kind: str, read: Callable[[Path], Sized]) -> Examination:
    try:
        return Examination(kind, len(read(path)), None, ())
    except TalikError as err:
        return _one(kind, str(err))


def _is_posts_table(path: Path) -> bool:
    """Whether a CSV has the columns of posts."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        names = {name.strip().strip('"').lower() for name in file.readline().split(",")}
    return {"id", "gas", "mean", "low", "high", "unit"} <= names


def _is_netcdf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(GRID_MAGIC)
    except OSError:
        return False


def _grid(path: Path) -> Examination:
    """A flux dataset by the rules of one, anything else as a grid."""
    import xarray as xr

    from talik.flux.dataset import problems
    from talik.flux.io import open_store
    from talik.flux.table import FLUXES

    try:
        opened = open_store(path) if path.is_dir() else xr.open_dataset(path, engine="netcdf4")
    except (TalikError, OSError, ValueError) as err:
        return _one("Zarr store", str(err)) if path.is_dir() else diagnose(path)
    with opened as ds:
        declared = any("area_basis" in ds[name].attrs for name in ds.data_vars if name in FLUXES)
        if not declared and not path.is_dir():
            return diagnose(path)
        found = problems(ds)
    return Examination("flux dataset", None, None, tuple(_told(p) for p in found))


def _told(problem: FluxProblem) -> Problem:
    return Problem("error", problem.where, problem.what, problem.fix)


def _one(kind: str, error: str) -> Examination:
    return Examination(kind, None, None, (Problem("error", "", error),))
