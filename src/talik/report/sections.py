"""Which steps of a project a page builds on: those whose results it shows, as far as the project has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talik.compare.opening import Source
from talik.compare.section import SITES, Inputs, inputs_of
from talik.compare.settings import EIGHT
from talik.fusion.validation import MODELLED
from talik.regions.named import files_of, require_known, with_absolute_paths
from talik.workflow.project import Project

Condition = Callable[[Any], bool]


@dataclass(frozen=True)
class Result:
    """A result that a page reads: the unit of a step, and the file in the output folder that holds it."""

    section: str
    step: str
    unit: str
    file: str
    made: Condition | None = None
    """Whether the section makes it, from its settings; always without."""


def _gridded(settings: Any) -> bool:
    return any(held.fluxes or held.members for held in settings.approaches.values())


def _learns_nee(settings: Any) -> bool:
    return "nee" in settings.fluxes


def _totals(settings: Any) -> bool:
    return settings.regions is not None


def _streams(settings: Any) -> bool:
    return bool(set(settings.observations.streams) & set(MODELLED))


RESULTS = (
    Result("budget", "budget", "budget", "budget.json"),
    Result("compare", "compare", "compare", "compare.json"),
    Result("compare", "compare-agreement", "agreement", "compare-agreement.nc", _gridded),
    Result("upscaling", "upscaling", "upscaling", "upscaling.json"),
    Result("trends", "trends", "trends", "trends.json"),
    Result("truth", "truth", "truth", "truth.json"),
    Result("tem", "tem", "audit", "tem-audit.json"),
    Result("fusion", "fusion-check", "check", "fusion-check.json"),
    Result("fusion", "fusion-regions", "totals", "fusion-regions.json", _totals),
    Result("fusion", "fusion-scores", "scores", "fusion-scores.csv", _streams),
    Result("inventory", "inventory", "inventory", "inventory.json"),
    Result("ensemble", "ensemble", "ensemble", "ensemble.json"),
)
"""Everything a page shows, but flux datasets."""
FLUXES = (
    Result("tem", "tem", "fluxes", "tem-fluxes.nc"),
    Result("upscaling", "upscaling-fluxes", "fluxes", "upscaling-fluxes.nc", _learns_nee),
    Result("fusion", "fusion-fluxes", "fluxes", "fusion-fluxes.nc"),
)
"""Flux datasets of sections; those of members of the ensemble come beside them."""
MEMBERS = "ensemble-members"
TRUTH = "truth"
"""The section with a known truth, and how its flux dataset is called among those of approaches."""


@dataclass(frozen=True)
class Dataset:
    """A flux dataset that a page draws: made by a step of this project, or a file that section compare names."""

    approach: str
    model: str
    step: str = ""
    made: str = ""
    """Unit of the step."""
    path: str = ""
    group: str = ""
    file: str = ""
    """Where a reader finds it: in the output folder, or as the project names it. Empty: in neither."""

    @property
    def unit(self) -> str:
        """The name of its unit of work."""
        return f"{self.approach}+{self.model}"


@dataclass(frozen=True)
class Wanted:
    """What a page of a project is made of."""

    results: tuple[Result, ...]
    datasets: tuple[Dataset, ...]
    variable: str
    regions: tuple[str, ...]
    tundra: str | None
    fire: str | None
    files: Mapping[str, Path]
    """Files outside the project's own results, by the names of the project file."""
    least_coverage: float
    years: tuple[int, int] | None

    @property
    def needs(self) -> tuple[str, ...]:
        """Steps that the page reads, but flux datasets."""
        return tuple(dict.fromkeys(r.step for r in self.results))

    @property
    def flux_needs(self) -> tuple[str, ...]:
        """Steps that make the flux datasets."""
        return tuple(dict.fromkeys(d.step for d in self.datasets if d.step))


def wanted(project: Project, maps: bool) -> Wanted:
    """What the page of a project is made of; `maps` : with the flux datasets.

    ConfigError: see the section compare.
    """
    held = project.sections
    results = tuple(r for r in RESULTS if r.section in held and (r.made is None or r.made(held[r.section])))
    compare = held.get("compare")
    inputs = None if compare is None else inputs_of(project, compare)  # type: ignore[arg-type]
    period = project.base.period
    found = _datasets(project, inputs) if maps else []
    regions = _regions(project, inputs)
    fire = inputs.fire if inputs else getattr(held.get("ensemble"), "fire", None)
    files = _files(project, inputs, found, fire, regions)
    tundra: str | None = getattr(compare, "tundra", None)
    if inputs is not None and tundra is not None:
        files[tundra] = inputs.files[tundra]
    return Wanted(
        results,
        tuple(found),
        getattr(compare, "variable", "nee"),
        regions,
        tundra,
        fire,
        files if found else {},
        getattr(compare, "least_coverage", 0.5),
        None if period is None else (period.first_year, period.last_year),
    )


def _datasets(project: Project, inputs: Inputs | None) -> list[Dataset]:
    """Those that compare names, then those of sections that it does not name."""
    out: list[Dataset] = []
    keep = bool(getattr(project.sections.get("ensemble"), "keep", False))
    own = {
        (project.output / r.file).resolve(): r
        for r in FLUXES
        if r.section in project.sections and (r.made is None or r.made(project.sections[r.section]))
    }
    named: set[Path] = set()
    for source in () if inputs is None else inputs.sources:
        if source.model != SITES:
            path = inputs.files.get(source.path) if inputs else None
            made = None if path is None else own.get(path.resolve())
            if path is not None:
                named.add(path.resolve())
            out.append(_of_source(source, made, keep))
    variable = getattr(project.sections.get("compare"), "variable", "nee")
    for path, result in own.items():
        if path not in named and variable == "nee":
            out.append(Dataset(result.section, result.section, result.step, result.unit, file=result.file))
    if (truth := project.sections.get(TRUTH)) is not None:
        path_of_truth = truth.fluxes  # type: ignore[attr-defined]
        out.append(Dataset(TRUTH, TRUTH, path=path_of_truth, file=path_of_truth))
    if inputs is None and (ensemble := project.sections.get("ensemble")) is not None:
        for kind, members in (("models", ensemble.models), ("inversions", ensemble.inversions)):  # type: ignore[attr-defined]
            for name, member in members.items():
                if getattr(member, "satellite_of", None) is None:
                    file = f"ensemble/{name}.nc" if keep else ""
                    out.append(Dataset(kind, name, MEMBERS, name, group=member.group or "", file=file))
    return out


def _of_source(source: Source, made: Result | None, keep: bool) -> Dataset:
    if made is not None:
        return Dataset(source.approach, source.model, made.step, made.unit, file=made.file)
    if source.member:
        file = f"ensemble/{source.member}.nc" if keep else ""
        return Dataset(source.approach, source.model, MEMBERS, source.member, group=source.group, file=file)
    return Dataset(source.approach, source.model, path=source.path, group=source.group, file=source.path)


def _regions(project: Project, inputs: Inputs | None) -> tuple[str, ...]:
    """The regions of compare; without it those of the first section that names some; else the four sectors."""
    if inputs is not None:
        return inputs.regions
    for section in ("upscaling", "ensemble"):
        named = getattr(project.sections.get(section), "regions", None)
        if isinstance(named, tuple) and named:
            whole = tuple(with_absolute_paths(named, project.folder))
            made_here = [n for n in whole if any(p.is_relative_to(project.output) for p in files_of([n]))]
            require_known([n for n in whole if n not in made_here])
            return whole
    return ("sectors",)


def _files(
    project: Project,
    inputs: Inputs | None,
    datasets: list[Dataset],
    fire: str | None,
    regions: tuple[str, ...],
) -> dict[str, Path]:
    """Datasets that are files, fires, and files of regions."""
    out = {d.path: project.resolve(d.path) for d in datasets if d.path}
    if inputs is not None:
        out |= {path: inputs.files[path] for path in out if path in inputs.files}
    if fire is not None:
        out[fire] = project.resolve(fire)
    return out | {str(p): p for p in files_of([r for r in regions if r != EIGHT])}
