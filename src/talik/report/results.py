"""The results that a page of a project shows, read from the files of its steps."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from talik.budget.compute import Budget
from talik.budget.result import read_result
from talik.errors import InputError
from talik.report.sections import RESULTS, Dataset, Result
from talik.yamlio import read_text

Json = Any


@dataclass(frozen=True)
class Drawn:
    """A flux dataset as `talik.report.reduce.reduced` gives it; `note` says why there is none."""

    of: Dataset
    data: xr.Dataset | None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a page of a project shows; None or empty where the project has no such section."""

    title: str
    name: str
    answer: Mapping[str, Any]
    """The project file, as `Project.answer` gives it."""
    variable: str = "nee"
    budget: Budget | None = None
    compare: Json = None
    agreement: Path | None = None
    upscaling: Json = None
    trends: Json = None
    truth: Json = None
    tem: Json = None
    fusion: Json = None
    fusion_regions: Json = None
    fusion_scores: Sequence[Mapping[str, str]] = ()
    inventory: Json = None
    ensemble: Json = None
    datasets: Sequence[Drawn] = ()
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """As `talik.provenance.describe` says it: code, config and inputs by name."""
    steps: Sequence[tuple[str, str]] = ()
    """Name and key of each step that the page reads."""
    files: Sequence[str] = ()
    """Results that stand in the output folder beside the page."""
    small: Sequence[str] = ()
    """Flux datasets made small, in the output folder."""

    @property
    def sections(self) -> list[str]:
        """Names of the sections of the project, without the page's own."""
        return [
            n
            for n, held in self.answer.items()
            if isinstance(held, Mapping) and n not in ("report", "period")
        ]

    @property
    def years(self) -> str:
        """The period, 2001-2015; empty if the project states none."""
        period = self.answer.get("period")
        return "" if not period else f"{period['first_year']}–{period['last_year']}"


def read_results(
    needs: Mapping[str, Mapping[str, Path]],
    results: Sequence[Result],
    datasets: Sequence[Drawn],
    *,
    title: str,
    name: str,
    answer: Mapping[str, Any],
    variable: str,
    code: str,
) -> Results:
    """Everything that the steps made. InputError: a file that is not what its step writes."""
    paths = {r.file: _path(needs[r.step], r) for r in results}
    read: dict[str, Any] = {}
    inputs: dict[str, dict[str, Any]] = {}
    config = ""
    if "budget.json" in paths:
        read["budget"], told = read_result(paths["budget.json"])
        inputs |= {str(n): dict(v) for n, v in told.get("inputs", {}).items()}
        config = str(told.get("config", ""))
    keys = {
        "compare.json": "compare",
        "upscaling.json": "upscaling",
        "trends.json": "trends",
        "truth.json": "truth",
        "tem-audit.json": "tem",
        "fusion-check.json": "fusion",
        "fusion-regions.json": "fusion_regions",
        "inventory.json": "inventory",
        "ensemble.json": "ensemble",
    }
    read |= {keys[file]: read_json(path) for file, path in paths.items() if file in keys}
    if "fusion-scores.csv" in paths:
        text = read_text(paths["fusion-scores.csv"])
        read["fusion_scores"] = list(csv.DictReader(io.StringIO(text)))
    for drawn in datasets:
        if drawn.data is not None:
            inputs |= {n: {"sha256": h} for n, h in json.loads(drawn.data.attrs["inputs"]).items()}
    with content_of("upscaling.json"):
        inputs |= {n: dict(told) for n, told in (read.get("upscaling") or {}).get("inputs", {}).items()}
    with content_of("compare.json"):
        for source in (read.get("compare") or {}).get("sources", []):
            inputs |= {str(n): {"sha256": str(h)} for n, h in source["inputs"].items()}
    folders = {step: next(iter(units.values())).parent.name for step, units in needs.items() if units}
    return Results(
        title=title,
        name=name,
        answer=answer,
        variable=variable,
        agreement=paths.get("compare-agreement.nc"),
        datasets=datasets,
        made_by={"code": code, "config": config, "inputs": dict(sorted(inputs.items()))},
        steps=tuple((step, folder.removeprefix(f"{step}-")) for step, folder in folders.items()),
        files=tuple(sorted({*paths, *(d.of.file for d in datasets if d.of.file and not d.of.path)})),
        small=tuple(f"report-fluxes/{d.of.unit}.nc" for d in datasets),
        **read,
    )


def _path(units: Mapping[str, Path], of: Result) -> Path:
    """The file of a result; a step of one unit may call it as it likes."""
    if of.unit not in units and len(units) != 1:
        raise InputError(f"report: step {of.step} has no unit {of.unit!r}; found {', '.join(units)}.")
    return units.get(of.unit) or next(iter(units.values()))


def read_json(path: Path) -> Any:
    """The content of a JSON file; InputError if it is none."""
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as err:
        raise InputError(f"{path}: not readable as JSON: {err}. Run the project again.") from err


@contextmanager
def content_of(file: str) -> Iterator[None]:
    """Turn what happens where a result lacks what it should hold into an InputError that names the file."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as err:
        raise InputError(
            f"{file}: is not what this version of talik writes ({type(err).__name__}: {err}). Run the project again "
            "with this version."
        ) from err


def results_in(folder: Path, files: Sequence[str], variable: str = "nee", title: str = "") -> Results:
    """What a finished run put into its output folder: results by their file names, flux datasets made small.

    The notebook of a project draws from it. InputError: a file that is not what its step writes.
    """
    known = {r.file: r for r in RESULTS}
    chosen = [known[name] for name in files if name in known]
    needs: dict[str, dict[str, Path]] = {}
    for one in chosen:
        needs.setdefault(one.step, {})[one.unit] = folder / one.file
    drawn = [read_drawn(folder / name) for name in files if name.startswith("report-fluxes/")]
    return read_results(needs, chosen, drawn, title=title, name=title, answer={}, variable=variable, code="")


def read_drawn(path: Path, of: Dataset | None = None) -> Drawn:
    """A reduced dataset of the step `report-fluxes`; what it is of stands in its attributes."""
    with xr.open_dataset(path, engine="netcdf4") as ds:
        held = ds.load()
    if of is None:
        with content_of(path.name):
            of = Dataset(held.attrs["approach"], held.attrs["model_name"], group=held.attrs["group"])
    note = str(held.attrs.get("note", ""))
    return Drawn(of, None, note) if note else Drawn(of, held)
