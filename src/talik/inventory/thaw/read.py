"""A table of terrains from a YAML file: everything is checked, and the sign of fluxes is turned to upward here only."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from talik.errors import ConfigError
from talik.flux.table import FluxVar
from talik.inventory.thaw.terrain import PROJECTION, SPIN_UP, Flux, Part, Table, Terrain
from talik.yamlio import parse_yaml, read_text

PUBLISHED = "the published table"


def published_text() -> str:
    """The published table as YAML, with the sign of its source (uptake positive)."""
    return (files("talik.inventory.thaw") / "data" / "published.yaml").read_text(encoding="utf-8")


def published() -> Table:
    """The three terrains of Turetsky et al. (2020) under RCP4.5 and RCP8.5; fluxes are up positive."""
    return parse_table(published_text(), PUBLISHED)


def read_table(path: Path | None = None) -> Table:
    """The table of a YAML file, or the published one without a file; fluxes are up positive.

    With `extends: published` the terrains and scenarios of the file join the published ones. ConfigError lists every
    problem by file, terrain, part and state; InputError where the file cannot be read.
    """
    return published() if path is None else parse_table(read_text(path), str(path))


def parse_table(text: str, name: str) -> Table:
    """The table of YAML `text`; `name` stands in errors. See `read_table`."""
    table = _upward(_validated(parse_yaml(text, name), name))
    if table.extends is not None:
        table = _joined(table, published(), name)
    _stop_for(_problems(table), name)
    return table


def _validated(content: Any, name: str) -> Table:
    try:
        return Table.model_validate_json(json.dumps(content), strict=True)
    except TypeError as err:
        raise ConfigError(f"{name}: expected text, numbers, lists and keys ({err}).") from err
    except ValidationError as err:
        found = [
            f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}; found {problem['input']!r:.80}"
            for problem in err.errors()
        ]
        _stop_for(found, name)
        raise


def _stop_for(found: list[str], name: str) -> None:
    if found:
        told = "\n".join(f"  - {problem}" for problem in found)
        raise ConfigError(
            f"{name}: {len(found)} problem{'s' if len(found) > 1 else ''} in the table of terrains; correct:\n{told}"
        )


def _upward(table: Table) -> Table:
    """The table with fluxes up positive, whatever sign the file has."""
    factor = FluxVar(name="thaw", species="C", positive=table.positive, long_name="carbon flux").to_atmosphere

    def turned(by_name: dict[str, dict[str, Flux]]) -> dict[str, dict[str, Flux]]:
        return {
            name: {state: flux.as_upward(factor) for state, flux in by_state.items()}
            for name, by_state in by_name.items()
        }

    def part(p: Part) -> Part:
        return p.model_copy(update={"fluxes": turned(p.fluxes), "balances": turned(p.balances)})

    terrains = {
        key: t.model_copy(update={"parts": {name: part(p) for name, p in t.parts.items()}})
        for key, t in table.terrains.items()
    }
    return table.model_copy(update={"positive": "up", "terrains": terrains})


def _joined(own: Table, base: Table, name: str) -> Table:
    years = (own.first_year, own.scenario_year)
    if years != (base.first_year, base.scenario_year):
        raise ConfigError(
            f"{name}: first_year and scenario_year are {years[0]} and {years[1]}; a table that extends the published "
            f"one has its years, {base.first_year} and {base.scenario_year}. Write those, or leave `extends` out."
        )
    return own.model_copy(
        update={
            "scenarios": {**base.scenarios, **own.scenarios},
            "terrains": {**base.terrains, **own.terrains},
            "source": f"{base.source}; {own.source}",
        }
    )


def _problems(table: Table) -> list[str]:
    found = []
    if table.scenario_year < table.first_year:
        found.append(
            f"scenario_year {table.scenario_year}: expected {table.first_year} (first_year) or later"
        )
    if not table.scenarios:
        found.append("scenarios: is empty; expected at least one, such as rcp85: RCP8.5")
    found += [
        f"scenarios: {name!r} is the name of a phase; choose another"
        for name in sorted({SPIN_UP, PROJECTION} & set(table.scenarios))
    ]
    for key, terrain in table.terrains.items():
        found += _of_terrain(key, terrain, table)
    return found


def _of_terrain(key: str, terrain: Terrain, table: Table) -> list[str]:
    found = []
    for name, part in terrain.parts.items():
        found += _of_part(f"terrain {key}, part {name}", part, list(table.scenarios))
    states = {state for part in terrain.parts.values() for state in part.states}
    rates = {rate for part in terrain.parts.values() for rate in part.rates}
    for leading in terrain.leading:
        known = rates if leading.vary in ("rate", "growth") else states
        if leading.of not in known:
            found.append(_unknown(f"terrain {key}, leading {leading.name}", leading.of, known))
    names = [leading.name for leading in terrain.leading]
    found += [
        f"terrain {key}, leading {n}: given more than once; keep one"
        for n in dict.fromkeys(names)
        if names.count(n) > 1
    ]
    if terrain.post is not None:
        found += [
            _unknown(f"terrain {key}, post {terrain.post.id}, states", state, states)
            for state in terrain.post.states
            if state not in states
        ]
    found += [
        _unknown(f"terrain {key}, notes", scenario, table.scenarios)
        for scenario in terrain.notes
        if scenario not in table.scenarios
    ]
    return found


def _of_part(where: str, part: Part, scenarios: list[str]) -> list[str]:
    found = []
    phases = [SPIN_UP, *scenarios]
    for number, step in enumerate(part.transitions, 1):
        at = f"{where}, transition {number} ({step.origin} to {step.target})"
        for state in (step.origin, step.target):
            if state not in part.states:
                found.append(_unknown(f"{at}: state", state, part.states))
        if step.origin == step.target:
            found.append(f"{at}: leads to where it starts; expected two states")
        if step.rate not in part.rates:
            found.append(_unknown(f"{at}: rate", step.rate, part.rates))
    for name, by_phase in part.rates.items():
        found += _of_phases(f"{where}, rate {name}", set(by_phase), phases)
    found += _of_phases(f"{where}, fluxes", set(part.fluxes), phases)
    tables = {f"fluxes of {phase}": by_state for phase, by_state in part.fluxes.items()}
    tables |= {f"balance {name}": by_state for name, by_state in part.balances.items()}
    for title, by_state in tables.items():
        found += [
            f"{where}, state {s}: has no entry in {title}; expected nee, ch4 and doc"
            for s in part.states
            if s not in by_state
        ]
        for state, flux in by_state.items():
            if state not in part.states:
                found.append(_unknown(f"{where}, {title}: state", state, part.states))
            if flux.doc_to_co2 + flux.doc_to_ch4 > 1.0 + 1e-9:
                found.append(
                    f"{where}, state {state}, {title}: doc_to_co2 and doc_to_ch4 sum to "
                    f"{flux.doc_to_co2 + flux.doc_to_ch4:g}; expected at most 1"
                )
    return found


def _of_phases(where: str, given: set[str], phases: list[str]) -> list[str]:
    found = [
        f"{where}: nothing for {'scenario ' if phase != SPIN_UP else ''}{phase}; "
        f"found {', '.join(sorted(given)) or 'nothing'}, expected {phase}"
        + ("" if phase == SPIN_UP else f" (or {PROJECTION}, for every scenario)")
        for phase in phases
        if phase not in given and (phase == SPIN_UP or PROJECTION not in given)
    ]
    known = [*phases, PROJECTION]
    return found + [
        _unknown(f"{where}: phase", phase, known) for phase in sorted(given) if phase not in known
    ]


def _unknown(where: str, name: str, known: Any) -> str:
    return f"{where} {name!r} is unknown; expected one of: {', '.join(sorted(known))}"
