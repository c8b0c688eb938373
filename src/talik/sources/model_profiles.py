"""Profiles: what the files of a product of process models mean, as data. Adding a model is a block of YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator

from talik.config import Frozen
from talik.errors import ConfigError
from talik.flux.table import FLUXES, Area, Direction, Species
from talik.flux.units import names_species
from talik.yamlio import load_yaml, parse_yaml

FILE = "model_profiles.yaml"
Profiles: TypeAlias = str | Path | Mapping[str, Any]
"""A YAML file of profiles, or what such a file holds."""
Status: TypeAlias = Literal["checked", "assumed"]
CALENDARS = (
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "noleap",
    "365_day",
    "all_leap",
    "366_day",
    "360_day",
    "julian",
)


class Fact(Frozen):
    """One sentence on the format, and whether it was checked in public material or is assumed."""

    what: str
    status: Status
    source: str = ""


class FluxFacts(Frozen):
    """What a flux of a product is called in its files and what its numbers mean."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names in the file, each with the same meaning. Case does not matter."""
    units: str | None = "kg m-2 s-1"
    """Units where the file states none; null if the format does not say, then the file must."""
    species: Species | None = "C"
    """Which mass is counted; null if the format does not say."""
    positive: Direction
    status: Status
    """Whether names, units, species and sign were checked in public material, or are assumed."""
    note: str = ""

    @model_validator(mode="after")
    def _units_without_species(self) -> FluxFacts:
        if self.units is not None and names_species(self.units):
            raise ValueError("units name a species; write the unit alone ('g m-2 month-1') and give species")
        return self


class StockFacts(Frozen):
    """What a stock of carbon is called in the files of a product."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    units: str | None = "kg m-2"
    layered: bool = False
    """The values are those of soil layers and are summed over depth."""
    status: Status
    note: str = ""


class ModelProfile(Frozen):
    """What the files of one product say, and what they leave out."""

    title: str
    file_names: Annotated[tuple[str, ...], Field(min_length=1)]
    """Regular expressions of file names with the named groups model and variable, and of part, step, start and end what
    the names have. Every other named group (forcing, member, ...) is the same in all files that are read together."""
    basis: Area | None
    """Area that densities are per, where a file does not say otherwise; null if the user must say."""
    land_fraction: tuple[str, ...] = ()
    """Names of the variable with the land share of the cells."""
    cell_area: tuple[str, ...] = ()
    """Names of the variable with the area of the cells."""
    calendars: Annotated[tuple[str, ...], Field(min_length=1)] = CALENDARS
    """Calendars that files may have."""
    default_calendar: str = "standard"
    """Calendar of an axis that states none (CF: standard)."""
    sentinels: tuple[float, ...] = (-9999.0, -99999.0, -32768.0)
    """Values that mean no data although the file does not declare them; beside them, all beyond 1e19."""
    fluxes: dict[str, FluxFacts]
    stocks: dict[str, StockFacts] = Field(default_factory=dict)
    facts: tuple[Fact, ...] = ()

    @field_validator("file_names")
    @classmethod
    def _patterns_name_model_and_variable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                groups = re.compile(pattern).groupindex
            except re.error as err:
                raise ValueError(f"{pattern!r} is no regular expression ({err})") from err
            lacking = [g for g in ("model", "variable") if g not in groups]
            if lacking:
                raise ValueError(f"{pattern!r} has no named group {' and '.join(lacking)}")
        return value

    @field_validator("calendars", "default_calendar")
    @classmethod
    def _known_calendars(cls, value: Any) -> Any:
        for name in (value,) if isinstance(value, str) else value or ():
            if name not in CALENDARS:
                raise ValueError(f"calendar {name!r} is unknown; choose of: {', '.join(CALENDARS)}")
        return value

    @model_validator(mode="after")
    def _one_meaning_for_a_name(self) -> ModelProfile:
        unknown = sorted(set(self.fluxes) - set(FLUXES))
        if unknown:
            raise ValueError(f"fluxes {', '.join(unknown)} are not in the flux table: {', '.join(FLUXES)}")
        seen: dict[str, str] = {}
        names = {n: f.names for n, f in self.fluxes.items()} | {n: s.names for n, s in self.stocks.items()}
        names |= {"land_fraction": self.land_fraction, "cell_area": self.cell_area}
        for name, aliases in names.items():
            for alias in aliases:
                if seen.setdefault(alias.lower(), name) != name:
                    raise ValueError(f"the name {alias!r} stands for {seen[alias.lower()]} and for {name}")
        return self


@cache
def _built_in() -> dict[str, Any]:
    text = (files("talik.sources") / "data" / FILE).read_text(encoding="utf-8")
    held: dict[str, Any] = parse_yaml(text, FILE)
    return held


def profile_names(profiles: Profiles | None = None) -> tuple[str, ...]:
    """Names of the profiles that talik has, and of those in `profiles`."""
    return tuple({**_built_in(), **_blocks(profiles)[0]})


def model_profile(name: str, profiles: Profiles | None = None) -> ModelProfile:
    """The profile `name`: of `profiles`, a YAML file or mapping of blocks, or one of those that talik has.

    A block may say ``extends: CMIP6``; what it then gives replaces the same entry of that profile, key by key down to
    the facts of one variable.

    ConfigError: no such profile, an unknown key or value (named with its place in the file), or profiles that extend
    each other in a circle.
    """
    own, where = _blocks(profiles)
    held = {**_built_in(), **own}
    if name not in held:
        raise ConfigError(
            f"{where}: model profile {name!r} is unknown; choose one of: {', '.join(held)}. A profile of your own is "
            "a block of YAML, given as profiles=."
        )
    merged = _extended(name, held, where, ())
    try:
        return ModelProfile.model_validate(merged)
    except ValidationError as err:
        first = err.errors()[0]
        place = ".".join(map(str, (name, *first["loc"])))
        raise ConfigError(
            f"{where}: {place}: {first['msg']}; found {str(first['input'])[:80]!r}. Correct the block."
        ) from err


def describe_format(name: str, profiles: Profiles | None = None) -> str:
    """What is taken as the format of a product, as text: each fact with `checked` or `assumed`.

    ``checked`` facts were seen in public material that is named; ``assumed`` ones were not, and the reader checks them
    in the file where it can. ConfigError as from `model_profile`.
    """
    profile = model_profile(name, profiles)
    lines = [f"{name}: {profile.title}", ""]
    basis = profile.basis or "not known: the user states it"
    lines += [
        f"area basis: {basis}",
        f"land fraction: {', '.join(profile.land_fraction) or 'no variable of its own'}",
        f"calendars: {', '.join(profile.calendars)}; without the attribute: {profile.default_calendar}",
        f"undeclared fill: beyond 1e19, {', '.join(f'{v:g}' for v in profile.sentinels)}",
        "",
        "variables",
    ]
    for flux, f in profile.fluxes.items():
        units, species = f.units or "stated in the file", f.species or "stated in the file"
        note = f"; {f.note}" if f.note else ""
        lines.append(f"  {flux}: {', '.join(f.names)}; {units} of {species}, {f.positive} [{f.status}]{note}")
    for stock, s in profile.stocks.items():
        more = "; layers, summed over depth" if s.layered else ""
        note = f"; {s.note}" if s.note else ""
        lines.append(
            f"  {stock}: {', '.join(s.names)}; {s.units or 'stated in the file'}{more} [{s.status}]{note}"
        )
    lines += ["", "facts"]
    for fact in profile.facts:
        lines.append(f"  [{fact.status}] {fact.what}" + (f" ({fact.source})" if fact.source else ""))
    return "\n".join(lines)


def _blocks(profiles: Profiles | None) -> tuple[dict[str, Any], str]:
    """Blocks of the user and the name of where they are from."""
    if profiles is None:
        return {}, FILE
    where = "profiles" if isinstance(profiles, Mapping) else str(profiles)
    held = dict(profiles) if isinstance(profiles, Mapping) else load_yaml(Path(profiles))
    if not isinstance(held, dict) or not all(
        isinstance(k, str) and isinstance(v, Mapping) for k, v in held.items()
    ):
        raise ConfigError(f"{where}: expected blocks of profiles by name; found {type(held).__name__}.")
    return held, where


def _extended(name: str, held: Mapping[str, Any], where: str, above: tuple[str, ...]) -> dict[str, Any]:
    block = dict(held[name])
    base = block.pop("extends", None)
    if base is None:
        return block
    built_in = _built_in()
    if base == name and held[name] is not built_in.get(name) and name in built_in:
        return _merged(_extended(name, built_in, where, ()), block)  # a block may refine its namesake
    if base not in held or base in (*above, name):
        raise ConfigError(
            f"{where}: {name} extends {base!r}, which {'extends it' if base in held else 'is unknown'}; choose one of: "
            f"{', '.join(n for n in held if n != name)}."
        )
    return _merged(_extended(base, held, where, (*above, name)), block)


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in change.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out
