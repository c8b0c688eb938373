"""A project file to begin with: every setting, its default and what it means, taken from the settings themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args

import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from talik.config import Frozen
from talik.errors import ConfigError
from talik.workflow.project import Base, section_named, section_names

WIDTH = 100
FIRST = ("budget", "report")
"""Sections of a file for nothing in particular: they need no data."""
_WITH_PERIOD = ("compare", "truth", "upscaling")
_MADE = {"data/upscaled.nc": ("upscaling", "output/upscaling-fluxes.nc")}
"""What an example names, the section that makes it if it stands beside, and what that one calls it."""
_HEAD = """\
A project file of talik. `talik check {file}` examines its data, `talik run {file} --dry-run` shows the plan,
`talik run {file}` does it. Paths are relative to this file.
Lines with two hashes are words. Lines with one hash are settings with their default: take `# ` away to set one.
"""


def template(name: str, sections: Sequence[str] = (), file: str = "project.yaml") -> str:
    """The text of a project file with these sections; the published budget and its page if none is named.

    Every line is valid as it stands, and with any of its settings uncommented. ConfigError for an unknown section, and
    for one that brings no example of what it cannot do without.
    """
    known = section_names()
    if unknown := [s for s in sections if s not in known]:
        raise ConfigError(f"--for {unknown[0]}: no such section; choose from: {', '.join(known)}.")
    chosen = list(dict.fromkeys(sections)) or [s for s in FIRST if s in known]
    given: dict[str, Any] = {"talik": 1, "name": name, "output": "output"}
    if set(chosen) & set(_WITH_PERIOD):
        given["period"] = {"first_year": 2001, "last_year": 2014}
    lines = [*_words(_HEAD.format(file=file), 0), "", *_fields(Base, given, 0)]
    for section in chosen:
        found = section_named(section)
        example = _chained(found.example, chosen)
        if lacking := [
            k for k, f in found.model.model_fields.items() if f.is_required() and k not in example
        ]:
            raise ConfigError(
                f"--for {section}: the section brings no example of {', '.join(lacking)}; see its page in the guide."
            )
        lines += ["", *_words(_doc(found.model), 0), f"{section}:", *_fields(found.model, example, 2)]
    others = [s for s in known if s not in chosen]
    lines += ["", *_words(f"Other sections, each with `talik init --for NAME`: {', '.join(others)}.", 0)]
    return "\n".join(lines) + "\n"


def _chained(example: Any, chosen: Sequence[str]) -> Any:
    """An example that reads what another chosen section makes."""
    if isinstance(example, Mapping):
        return {key: _chained(value, chosen) for key, value in example.items()}
    maker, made = _MADE.get(example, ("", "")) if isinstance(example, str) else ("", "")
    return made if maker in chosen else example


def _fields(model: type[Frozen], given: Mapping[str, Any], indent: int) -> Iterator[str]:
    """Lines of a model's settings: those given as they are, the others commented out with their default."""
    for key, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        if key not in given:
            yield from _commented(key, field, indent, "# ")
            continue
        yield from _words(field.description or "", indent)
        if inner is not None and isinstance(given[key], Mapping):
            yield f"{' ' * indent}{key}:"
            yield from _fields(inner, given[key], indent + 2)
        else:
            yield from _value(key, given[key], " " * indent)


def _commented(key: str, field: FieldInfo, indent: int, mark: str) -> Iterator[str]:
    """A setting with its default behind a `#`; one that holds settings with a line for each of them."""
    yield from _words(field.description or "", indent)
    default = field.get_default(call_default_factory=True, validated_data={})
    before = f"{' ' * indent}{mark}"
    if isinstance(default, Frozen):
        yield f"{before}{key}:"
        for name, of in type(default).model_fields.items():
            shown = of._copy()
            shown.default, shown.default_factory = getattr(default, name), None
            yield from _commented(name, shown, indent, f"{mark}  ")
    elif default is None and _kind(field).validate_python(None) is not None:
        yield f"{' ' * indent}## {mark.removeprefix('# ')}{key}: (not given; empty is given with its defaults)"
    else:
        yield from _value(key, _kind(field).dump_python(default, mode="json"), before)


def _kind(field: FieldInfo) -> TypeAdapter[Any]:
    """What a field takes, with what makes values of it: for some an empty value is more than none."""
    kind: Any = field.annotation
    return TypeAdapter(Annotated[(kind, *field.metadata)] if field.metadata else kind)


def _value(key: str, value: Any, before: str) -> Iterator[str]:
    """`key: value`, on one line if that is short."""
    flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    line = f"{key}: {flow.strip().removesuffix('...').strip()}"
    if isinstance(value, dict | list) and value and len(line) > WIDTH:
        line = yaml.safe_dump(
            {key: value}, default_flow_style=None, sort_keys=False, width=WIDTH, allow_unicode=True
        )
    for part in line.splitlines():
        yield f"{before}{part}"


def _words(text: str, indent: int) -> Iterator[str]:
    """Text as comment lines."""
    for paragraph in filter(None, (" ".join(p.split()) for p in text.replace("``", "`").split("\n\n"))):
        for line in textwrap.wrap(
            paragraph, WIDTH - indent - 3, break_long_words=False, break_on_hyphens=False
        ):
            yield f"{' ' * indent}## {line}"


def _doc(model: type[Frozen]) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0]


def _model_of(annotation: Any) -> type[Frozen] | None:
    """The model a field holds, alone or as one of several kinds with None."""
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return annotation
    held = [a for a in get_args(annotation) if a is not type(None)]
    return _model_of(held[0]) if len(held) == 1 and len(get_args(annotation)) == 2 else None
