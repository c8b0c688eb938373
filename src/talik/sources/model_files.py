"""Files of model output: what their names say, which belong together, and the variable inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import xarray as xr

from talik.errors import InputError
from talik.netcdf import open_netcdf
from talik.sources.model_profiles import ModelProfile

Paths: TypeAlias = str | Path | Sequence[str | Path]
Kind: TypeAlias = Literal["flux", "stock", "land", "area"]
_SUFFIXES = (".nc", ".nc4")
_TOTAL = re.compile(r"[-_]total$")
_OF_A_FILE = {"model", "variable", "part", "step", "start", "end", "table"}
"""Groups of a name that may differ between files that are read together."""


class Meaning(NamedTuple):
    """What a variable of a file is: its kind, and its name in talik."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file and what its name says; `run` holds the groups that all files read together share."""

    path: Path
    model: str
    variable: str
    meaning: Meaning
    part: str | None
    step: str | None
    span: tuple[str, str] | None
    run: tuple[tuple[str, str], ...]


def find_files(
    paths: Paths, profile: ModelProfile, wanted: Sequence[str] | None, model: str | None, notes: list[str]
) -> list[ModelFile]:
    """Files of one run of one model, in order of variable and time; a folder stands for the NetCDF files in it.

    wanted : names (in talik) to keep, besides land fraction and cell area; None is all that the profile knows. model :
    the one to keep where there are several. Files of variables that the profile does not know are left out and noted.

    InputError: no such file, a name that does not fit the product, files of several models or runs, a wanted variable
    that no file has, two variables of one meaning, or files of one plant type or pool.
    """
    meanings = _meanings(profile)
    found: list[ModelFile] = []
    models: set[str] = set()
    for path in _listed(paths):
        held = _parsed(path, profile)
        models.add(held["model"])
        if model is not None and held["model"] != model:
            continue
        meaning = meanings.get(held["variable"].lower())
        if meaning is None:
            notes.append(f"{path.name}: variable {held['variable']} is not in the profile: left out")
            continue
        if wanted is None or meaning.kind in ("land", "area") or meaning.name in wanted:
            found.append(_model_file(path, held, meaning))
    if model is not None and model not in models:
        raise InputError(f"no file is of model {model!r}; found {', '.join(sorted(models)) or 'none'}.")
    if len(models) > 1 and model is None:
        raise InputError(
            f"files of {len(models)} models, {', '.join(sorted(models))}; say model= to choose one of them."
        )
    if not any(f.meaning.kind in ("flux", "stock") for f in found):
        known = [*profile.fluxes, *profile.stocks]
        raise InputError(
            f"no file has a variable that was asked for ({', '.join(wanted or known)}). Check the paths."
        )
    _check_together(found, wanted)
    return sorted(found, key=lambda f: (f.meaning.kind, f.meaning.name, f.span or ("", ""), f.path.name))


def open_variable(file: ModelFile, profile: ModelProfile) -> tuple[xr.Dataset, xr.DataArray]:
    """The dataset of a file, lazily, times not decoded, and its variable.

    InputError: not readable, no variable with a name of the one in the file name, or several of them.
    """
    ds = open_netcdf(file.path, "Get the file again, or unpack it.", decode_times=False)
    meanings = _meanings(profile)
    found = [str(n) for n in ds.data_vars if meanings.get(_bare(str(n))) == file.meaning]
    if len(found) != 1:
        expected = file.variable if not found else "one of them"
        raise InputError(
            f"{file.path}: expected the variable {expected}; found {', '.join(map(str, found or ds.data_vars))}. Is "
            "the file name right? Else name the variable in a profile of your own."
        )
    return ds, ds[found[0]]


def _meanings(profile: ModelProfile) -> dict[str, Meaning]:
    """What each name of a file means, by lower-case name."""
    out: dict[str, Meaning] = {}
    for name, flux in profile.fluxes.items():
        out.update({alias.lower(): Meaning("flux", name) for alias in flux.names})
    for name, stock in profile.stocks.items():
        out.update({alias.lower(): Meaning("stock", name) for alias in stock.names})
    out.update({alias.lower(): Meaning("land", "land_fraction") for alias in profile.land_fraction})
    out.update({alias.lower(): Meaning("area", "cell_area") for alias in profile.cell_area})
    return out


def _bare(name: str) -> str:
    return _TOTAL.sub("", name.lower())


def _listed(paths: Paths) -> list[Path]:
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    out: list[Path] = []
    for path in given:
        if path.is_dir():
            out += sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES)
        elif path.is_file():
            out.append(path)
        else:
            raise InputError(f"{path}: no such file or folder. Check the path.")
    if not out:
        raise InputError(
            f"no NetCDF files in {', '.join(map(str, given)) or 'no paths'}; expected *.nc or *.nc4."
        )
    return out


def _parsed(path: Path, profile: ModelProfile) -> dict[str, str]:
    for pattern in profile.file_names:
        match = re.match(pattern, path.name)
        if match is not None:
            return {k: v for k, v in match.groupdict().items() if v is not None}
    hint = " Unpack it first." if path.suffix == ".gz" else ""
    raise InputError(
        f"{path}: the name is not one of {profile.title}; expected it to match {profile.file_names[0]}.{hint} Keep "
        "published names, or give a profile of your own with other file_names."
    )


def _model_file(path: Path, held: dict[str, str], meaning: Meaning) -> ModelFile:
    span = (held["start"], held["end"]) if "start" in held and "end" in held else None
    run = tuple((k, v) for k, v in sorted(held.items()) if k not in _OF_A_FILE)
    part = held.get("part")
    if part not in (None, "total"):
        raise InputError(
            f"{path}: holds the part {part!r} of {held['variable']}; expected the total. Parts sum to a total only if "
            "the model says that they are per area of the cell: make the total first."
        )
    return ModelFile(path, held["model"], held["variable"], meaning, part, held.get("step"), span, run)


def _check_together(found: Sequence[ModelFile], wanted: Sequence[str] | None) -> None:
    runs = {f.run: f for f in reversed(found) if f.meaning.kind in ("flux", "stock")}
    if len(runs) > 1:
        first, second = list(runs.values())[:2]
        differ = [
            f"{k} {v} and {dict(second.run).get(k)}" for k, v in first.run if dict(second.run).get(k) != v
        ]
        raise InputError(
            f"{first.path.name} and {second.path.name} are of different runs "
            f"({', '.join(differ) or 'other words in their names'}). Read one run at a time."
        )
    names = {f.meaning: f for f in found}
    for file in found:
        other = names[file.meaning]
        if file.variable.lower() != other.variable.lower():
            raise InputError(
                f"{file.path.name} and {other.path.name} both hold {file.meaning.name}, as {file.variable} and "
                f"{other.variable}. Give one of them."
            )
    lacking = [n for n in wanted or () if not any(f.meaning.name == n for f in found)]
    if lacking:
        raise InputError(
            f"no file holds {', '.join(lacking)}; found {', '.join(sorted({f.meaning.name for f in found}))}. What "
            "a model does not give is absent, never 0."
        )
