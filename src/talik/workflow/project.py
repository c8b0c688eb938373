"""The project file: one YAML file, strict and frozen, with a section for each approach."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from talik.config import Frozen
from talik.errors import ConfigError
from talik.provenance import named_from
from talik.workflow.plan import Step
from talik.yamlio import load_yaml

if TYPE_CHECKING:
    from talik.sources.problem import Problem

ENTRY_POINTS = "talik.approaches"
_BUILT_IN = {
    "budget": "talik.budget.section:SECTION",
    "calibration": "talik.tem.calibration.section:SECTION",
    "compare": "talik.compare.section:SECTION",
    "ensemble": "talik.ensembles.section:SECTION",
    "forcing": "talik.forcing.section:SECTION",
    "fusion": "talik.fusion.section:SECTION",
    "inventory": "talik.inventory.section:SECTION",
    "report": "talik.report.section:SECTION",
    "tem": "talik.tem.section:SECTION",
    "trends": "talik.trends.section:SECTION",
    "truth": "talik.osse.section:SECTION",
    "upscaling": "talik.upscaling.section:SECTION",
    "world": "talik.osse.world:SECTION",
}


class Period(Frozen):
    """First and last year, both included."""

    first_year: Annotated[int, Field(ge=1, le=9999)]
    last_year: Annotated[int, Field(ge=1, le=9999)]

    def model_post_init(self, _context: Any) -> None:
        if self.last_year < self.first_year:
            raise ValueError(f"last_year {self.last_year} lies before first_year {self.first_year}")


class RunOptions(Frozen):
    """Where the work runs. Changes nothing in the results, so it is no part of any key."""

    workers: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Local processes."""
    scheduler: str | None = None
    """An existing Dask cluster, such as ``tcp://10.0.0.5:8786``."""


class Base(Frozen):
    """What every project file states, whatever the approaches."""

    talik: Literal[1]
    """Version of the file format."""
    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of the project."""
    title: str = ""
    """What stands above pages and in files."""
    period: Period | None = None
    """Years of every section that has years, as in ``{first_year: 2001, last_year: 2020}``."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of every random number."""
    output: str = "output"
    """Folder for results, relative to the project file."""
    run: RunOptions = RunOptions()
    """Where the work runs; changes no result."""


@dataclass(frozen=True)
class Project:
    """A read project file: base fields, and the validated section of each approach that stands in it."""

    base: Base
    sections: Mapping[str, Frozen]
    folder: Path
    _steps: Mapping[str, Callable[[Project, Any], Sequence[Step]]] = field(repr=False)

    def resolve(self, name: str) -> Path:
        """A path of the project file, relative to the file's folder; ``~`` is the home folder."""
        try:
            return (self.folder / Path(name).expanduser()).resolve()
        except RuntimeError as err:
            raise ConfigError(
                f"path {name!r}: has no home folder here ({err}). Write the folder out."
            ) from err

    def matching(self, name: str, section: str) -> list[Path]:
        """A path, or all files and stores that a pattern with * or ? in its last part means, in order.

        ConfigError, which names the section, where none fits.
        """
        path = self.resolve(name)
        if not any(sign in path.name for sign in "*?"):
            return [path]
        found = sorted(path.parent.glob(path.name))
        if not found:
            raise ConfigError(f"{section}: no file fits {name!r} in {path.parent}. Correct the pattern.")
        return found

    @property
    def output(self) -> Path:
        """The folder of the results."""
        return self.resolve(self.base.output)

    def with_output(self, folder: Path) -> Project:
        """The same project with its results in another folder."""
        return replace(self, base=self.base.model_copy(update={"output": str(folder.absolute())}))

    def answer(self) -> dict[str, Any]:
        """Everything in the file that can change a result, as JSON values (not: name, title, output, run)."""
        base = self.base.model_dump(mode="json", exclude={"name", "title", "output", "run"})
        return {**base, **{k: v.model_dump(mode="json") for k, v in sorted(self.sections.items())}}

    def key(self) -> str:
        """Short hash of `answer`."""
        text = json.dumps(self.answer(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def steps(self) -> list[Step]:
        """The steps of all sections."""
        return [step for name in self._steps for step in self.steps_of(name)]

    def steps_of(self, section: str) -> list[Step]:
        """The steps of one section; names of inputs do not tell where the project lies, as they go into keys."""
        made = self._steps[section](self, self.sections[section])
        return [replace(step, inputs=named_from(self.folder, step.inputs)) for step in made]


@dataclass(frozen=True)
class Section:
    """What an approach brings to the project file: a name, a strict model, and the steps it makes of it.

    `example` holds values as a user would write them, at least all that have no default; `talik init` writes them.
    `check` reads the section's data and yields what is wrong; it may raise a TalikError. `talik check` asks it.
    """

    name: str
    model: type[Frozen]
    steps: Callable[[Project, Any], Sequence[Step]]
    example: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Project, Any], Iterable[Problem]] | None = None


_registered: dict[str, Section] = {}


def register_section(section: Section) -> None:
    """Let project files have `section`. Packages do this through the entry-point group ``talik.approaches``."""
    if section.name in Base.model_fields or _registered.get(section.name, section) != section:
        raise ConfigError(f"section {section.name!r} exists already; choose another name.")
    if not issubclass(section.model, Frozen):
        raise ConfigError(f"section {section.name!r}: its model must derive from talik.config.Frozen.")
    _registered[section.name] = section


def section_names() -> list[str]:
    """Every section a project file may have here."""
    built_in = [name for name, where in _BUILT_IN.items() if _has_module(where.partition(":")[0])]
    return sorted({*built_in, *_registered, *(e.name for e in entry_points(group=ENTRY_POINTS))})


def _has_module(name: str) -> bool:
    """Whether a module is installed, without importing it or its package."""
    top, _, rest = name.partition(".")
    spec = find_spec(top)
    places = () if spec is None else spec.submodule_search_locations or ()
    path = rest.replace(".", "/")
    return any(Path(p, f"{path}.py").is_file() or Path(p, path, "__init__.py").is_file() for p in places)


def load_project(path: Path) -> Project:
    """Read a project file. A wrong file is one ConfigError that lists every problem with its place."""
    data = load_yaml(path)
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{path}: a project file holds keys such as talik, name, budget; found {data!r:.60}."
        )
    return make_project(data, path.resolve().parent, str(path))


def make_project(data: Mapping[str, Any], folder: Path, where: str = "project") -> Project:
    """A project from plain values; paths are relative to `folder`, `where` stands in errors."""
    names = section_names()
    allowed = [*Base.model_fields, *names]
    found: list[str] = []
    sections: dict[str, Frozen] = {}
    makers: dict[str, Callable[[Project, Any], Sequence[Step]]] = {}
    for key in data:
        if key not in allowed:
            found.append(_unknown(str(key), allowed))
        elif key in names:
            section = section_named(str(key))
            content = {} if data[key] is None else data[key]
            checked = _check(section.model, content, str(key), found)
            if checked is not None:
                sections[section.name] = checked
                makers[section.name] = section.steps
    base = _check(Base, {k: v for k, v in data.items() if k in Base.model_fields}, "", found)
    if found or not isinstance(base, Base):
        lines = "\n".join(f"  - {f}" for f in found)
        raise ConfigError(f"{where}: {len(found)} problem{'s' * (len(found) > 1)}:\n{lines}")
    return Project(base, sections, folder, makers)


def section_named(name: str) -> Section:
    """The section of a name that `section_names` has; ConfigError if its package cannot be used."""
    if name in _registered:
        return _registered[name]
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        section: Any = getattr(importlib.import_module(module), attribute)
    else:
        entry = next(e for e in entry_points(group=ENTRY_POINTS) if e.name == name)
        try:
            section = entry.load()
        except (ImportError, AttributeError) as err:
            raise ConfigError(
                f"section {name!r} comes from {entry.value}, which cannot be imported: {err}. "
                "Repair or remove its package."
            ) from err
    if not isinstance(section, Section) or section.name != name:
        raise ConfigError(
            f"section {name!r}: its entry point is {section!r:.80}, expected a Section of that name."
        )
    return section


def _check(model: type[Frozen], content: Any, prefix: str, found: list[str]) -> Frozen | None:
    """The validated model, or None with its problems added to `found`."""
    if not isinstance(content, Mapping):
        found.append(f"{prefix}: expected keys below it, found {content!r:.60}")
        return None
    try:
        # as JSON, strict: a list may become a tuple, but no text or true a number
        return model.model_validate_json(json.dumps(content), strict=True)
    except TypeError as err:
        found.append(f"{prefix or 'values'}: expected text, numbers, lists and keys ({err})")
    except ValidationError as err:
        for problem in err.errors():
            place = ".".join([prefix, *(str(p) for p in problem["loc"])]).strip(".")
            if problem["type"] == "extra_forbidden":
                allowed = _fields_at(model, problem["loc"])
                found.append(_unknown(place, allowed, prefix=place.rpartition(".")[0]))
            elif problem["type"] == "missing":
                found.append(f"{place}: is missing")
            else:
                told = problem["msg"].removeprefix("Value error, ")
                seen = "" if isinstance(problem["input"], Mapping) else f"; found {problem['input']!r:.80}"
                found.append(f"{place}: {told}{seen}")
    return None


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names allowed where the last part of `loc` stands."""
    here = [model]
    for part in loc[:-1]:
        # numbers, keys of mappings and names of union members stand in `loc` too; they lead to no other model
        if fields := [m.model_fields[part] for m in here if isinstance(part, str) and part in m.model_fields]:
            here = [m for f in fields for m in _models_in(f.annotation)]
    return list(dict.fromkeys(name for m in here for name in m.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in _models_in(part)]


def _unknown(place: str, allowed: Sequence[str], prefix: str = "") -> str:
    name = place.removeprefix(f"{prefix}.") if prefix else place
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(allowed)}"
    return f"{place}: unknown key; {hint}"
