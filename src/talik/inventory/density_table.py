"""Densities of classes that are given as such: a CSV table, the published budget, printed growing-season means."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from talik.errors import ConfigError, InputError, UnitsError
from talik.flux.table import mass_ratio
from talik.inventory.class_sites import Density, of_summary
from talik.inventory.classes import LAND
from talik.inventory.limits import Limited, draws_of
from talik.inventory.season import ClassSeason
from talik.posts.published import components
from talik.posts.rows import a_number
from talik.yamlio import read_text

COLUMNS = ("class", "gas", "season", "mean", "low", "high", "units", "source")
SEASONS = ("year", "growing")
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

    units name what is weighed: `g CH4-C m-2 yr-1`, `mg CH4 m-2 d-1`; season is `year` or `growing`, the mean daily flux
    of the growing season. low and high are 95 % limits. Every mistake is an error with file, line, found and expected.
    """
    return _densities(read_text(path), str(path), gas, seasons, draws, seed)


def printed_growing_season(
    gas: str, seasons: Mapping[str, ClassSeason], draws: int, seed: int
) -> dict[str, Density]:
    """Printed growing-season means of uplands (Kuhn et al., data/growing_season.csv), which the site table lacks."""
    text = (files("talik.inventory") / "data" / SUMMARY).read_text(encoding="utf-8")
    return _densities(text, SUMMARY, gas, seasons, draws, seed)


def _densities(
    text: str, name: str, gas: str, seasons: Mapping[str, ClassSeason], draws: int, seed: int
) -> dict[str, Density]:
    reader = csv.DictReader(io.StringIO(text))
    if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise InputError(f"{name}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}.")
    out: dict[str, Density] = {}
    for row in reader:
        where = f"{name}, line {reader.line_num}"
        land = (row["class"] or "").strip()
        if land not in LAND:
            raise ConfigError(
                f"{where}: land-cover class {land!r} is unknown; choose from: {', '.join(LAND)}."
            )
        if row["gas"] not in ELEMENT:
            raise InputError(f"{where}: gas is {row['gas']!r}; expected one of {', '.join(ELEMENT)}.")
        if row["gas"] != gas:
            continue
        if land in out:
            raise InputError(f"{where}: {land} stands twice for {gas}; keep one.")
        if row["season"] not in SEASONS:
            raise InputError(
                f"{where}: season of {land} is {row['season'] or 'missing'}; expected one of {', '.join(SEASONS)}. A "
                "flux of a season is no flux of a year."
            )
        factor, per_day = factor_of(row["units"] or "", gas, where)
        if per_day != (row["season"] == "growing"):
            wanted = "d-1 for the growing season, yr-1 for a year"
            raise UnitsError(
                f"{where}: units {row['units']!r} with season {row['season']}; expected {wanted}."
            )
        numbers = (a_number(row[key], key, where) for key in ("mean", "low", "high"))
        value = Limited(*numbers).times(factor)
        if not value.low <= value.mean <= value.high:
            raise InputError(f"{where}: mean of {land} lies outside its limits; low is the 2.5 % limit.")
        source = row["source"] or name
        if per_day:
            out[land] = of_summary(land, gas, value, _season(seasons, land, where), draws, seed, source)
        else:
            out[land] = Density(
                land, gas, value, draws_of(value, draws, seed, f"{gas} of {land}, {name}"), source
            )
    return out


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
