"""Densities of classes that are given as such: a CSV table, the published budget, printed growing-season means."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from talik.errors import ConfigError, InputError, UnitsError
from talik.flux.table import mass_ratio
from talik.inventory.class_sites import Density, of_summary
from talik.inventory.classes import LAND
from talik.inventory.limits import Limited, draws_of, of_draws, ordered
from talik.inventory.season import ClassSeason, year_of_two_seasons
from talik.posts.published import components
from talik.posts.rows import a_number
from talik.yamlio import read_text

COLUMNS = ("class", "gas", "season", "mean", "low", "high", "units", "source")
SEASONS = ("year", "growing", "cold")
LARGEST = {"CO2": 5000.0, "CH4": 1000.0, "N2O": 100.0}
"""g m-2 yr-1 of the element, above which the mean of no class is."""
ELEMENT = {"CO2": "C", "CH4": "C", "N2O": "N"}
SUMMARY = "growing_season.csv"
_UNITS = re.compile(r"(?P<prefix>[kmu]?)g (?P<species>[A-Z0-9]+(?:-[CN])?) m-2 (?P<time>d-1|yr-1)")
_PREFIX = {"k": 1e3, "": 1.0, "m": 1e-3, "u": 1e-6}


def published_densities(gas: str, draws: int, seed: int) -> dict[str, Density]:
    """Printed total over printed area of each class (Hugelius et al. 2024): for comparison, no measured fluxes.

    Good to 5 %, because both are rounded; limits are those of the total, so that of the area is inside them.
    """
    out = {}
    for post in components():
        land = post.id.removeprefix("inventory.")
        if land in LAND and post.gas == gas and post.area_mkm2:
            value = Limited(post.mean, post.low, post.high).times(1.0 / post.area_mkm2)
            out[land] = Density(
                land,
                gas,
                value,
                draws_of(value, draws, seed, f"published {gas} of {land}"),
                "Hugelius et al. (2024), printed total over printed area",
                notes=(f"{land}: limits of {gas} are those of the printed flux, area included",),
                holds_area=True,
            )
    return out


def read_densities(
    path: Path, gas: str, seasons: Mapping[str, ClassSeason], draws: int, seed: int
) -> dict[str, Density]:
    """Densities of one gas by class from a CSV file with the columns `COLUMNS`.

    units name what is weighed: `g CH4-C m-2 yr-1`, `mg CH4 m-2 d-1`; season is `year`, or `growing` and `cold`, mean
    daily fluxes of the growing season and of the rest of the year; `growing` alone is scaled by the share outside it.
    low and high are 95 % limits. Every mistake is an error with file, line, found and expected.
    """
    found = _densities(read_text(path), str(path), gas, seasons, draws, seed)
    if not found:
        raise InputError(f"{path}: has no row of {gas}. Add one, or leave the file to another gas.")
    return found


def printed_growing_season(
    gas: str, seasons: Mapping[str, ClassSeason], draws: int, seed: int
) -> dict[str, Density]:
    """Printed growing-season means of uplands (Kuhn et al., data/growing_season.csv), which the site table lacks."""
    text = (files("talik.inventory") / "data" / SUMMARY).read_text(encoding="utf-8")
    return _densities(text, SUMMARY, gas, seasons, draws, seed)


def _densities(
    text: str, name: str, gas: str, seasons: Mapping[str, ClassSeason], draws: int, seed: int
) -> dict[str, Density]:
    out: dict[str, Density] = {}
    by_class: dict[str, dict[str, _Row]] = {}
    for row in _rows(text, name, gas):
        held = by_class.setdefault(row.land, {})
        if row.season in held:
            raise InputError(
                f"{row.where}: {row.land} stands twice for {gas} and season {row.season}; keep one."
            )
        held[row.season] = row
    for land, held in by_class.items():
        first = next(iter(held.values()))
        if set(held) == {"year"}:
            drawn = draws_of(first.value, draws, seed, f"{gas} of {land}, {name}")
            out[land] = Density(land, gas, first.value, drawn, first.source)
        elif set(held) == {"growing"}:
            season = _season(seasons, land, first.where)
            out[land] = of_summary(land, gas, first.value, season, draws, seed, first.source)
        elif set(held) == {"growing", "cold"}:
            days = _season(seasons, land, first.where).days
            growing, cold = (
                draws_of(held[season].value, draws, seed, f"{gas} of {land}, {name}, {season}")
                for season in ("growing", "cold")
            )
            annual = year_of_two_seasons(growing, cold, days)
            mean = float(year_of_two_seasons(held["growing"].value.mean, held["cold"].value.mean, days))
            note = f"{land}: growing season of {days:g} d, the rest of the year apart; limits hold no error of that"
            out[land] = Density(land, gas, of_draws(annual, mean), annual, first.source, notes=(note,))
        else:
            raise InputError(
                f"{first.where}: {land} has {gas} of {' and '.join(held)}; expected year, growing, or growing and cold."
            )
    for land, density in out.items():
        if abs(density.value.mean) > LARGEST[gas]:
            raise InputError(
                f"{name}: {gas} of {land} is {density.value.mean:g} g m-2 yr-1 of {ELEMENT[gas]}; no class is above "
                f"{LARGEST[gas]:g}. Check units and season."
            )
    return out


class _Row(NamedTuple):
    """A row of a table: `value` is g m-2 of the element, a day (growing, cold) or a year."""

    land: str
    season: str
    value: Limited
    source: str
    where: str


def _rows(text: str, name: str, gas: str) -> Iterator[_Row]:
    """Rows of one gas, checked."""
    reader = csv.DictReader(io.StringIO(text))
    if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise InputError(f"{name}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}.")
    for given in reader:
        row = {key: str(value or "").strip() for key, value in given.items() if key is not None}
        where = f"{name}, line {reader.line_num}"
        land = row["class"]
        if land not in LAND:
            raise ConfigError(
                f"{where}: land-cover class {land!r} is unknown; choose from: {', '.join(LAND)}."
            )
        if row["gas"] not in ELEMENT:
            raise InputError(
                f"{where}: gas is {row['gas'] or 'missing'}; expected one of {', '.join(ELEMENT)}."
            )
        if row["gas"] != gas:
            continue
        if row["season"] not in SEASONS:
            raise InputError(
                f"{where}: season of {land} is {row['season'] or 'missing'}; expected one of {', '.join(SEASONS)}. A "
                "flux of a season is no flux of a year."
            )
        factor, per_day = factor_of(row["units"], gas, where)
        if per_day == (row["season"] == "year"):
            wanted = "d-1 for a season, yr-1 for a year"
            raise UnitsError(
                f"{where}: units {row['units']!r} with season {row['season']}; expected {wanted}."
            )
        numbers = Limited(*(a_number(row[key], key, where) for key in ("mean", "low", "high")))
        value = ordered(numbers, f"{where}: {gas} of {land}").times(factor)
        yield _Row(land, row["season"], value, row["source"] or name, where)


def factor_of(units: str, gas: str, where: str) -> tuple[float, bool]:
    """From `units` to g m-2 of the element, and whether they are per day (else per year).

    UnitsError: no species, a species that is not the gas or its element, or another quantity.
    """
    found = _UNITS.fullmatch(units.strip())
    element = ELEMENT[gas]
    if found is None:
        raise UnitsError(
            f"{where}: units {units!r}; expected mass, species, area and time, such as 'g {gas}-{element} m-2 yr-1' or "
            f"'mg {gas} m-2 d-1'. What is weighed is never guessed."
        )
    species = found["species"]
    if species not in (gas, f"{gas}-{element}"):
        raise UnitsError(f"{where}: units {units!r} weigh {species}; expected {gas} or {gas}-{element}.")
    ratio = mass_ratio(gas, element) if species == gas else 1.0
    return ratio * _PREFIX[found["prefix"]], found["time"] == "d-1"


def _season(seasons: Mapping[str, ClassSeason], land: str, where: str) -> ClassSeason:
    if land not in seasons:
        raise ConfigError(f"{where}: no growing season is given for {land}. Add it under seasons.")
    return seasons[land]
