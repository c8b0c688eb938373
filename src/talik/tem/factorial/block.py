"""A block of cells through all experiments: climate of every scenario in, one file out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.jax64 import keep_compiled
from talik.tem.factorial.annual import MONTHLY, VARIABLES
from talik.tem.factorial.design import reference_of
from talik.tem.factorial.run import Experiments, Plan
from talik.tem.inputs import Climate, Columns, read_columns, read_run
from talik.tem.output import audit_of
from talik.tem.permafrost.setup import read_stock
from talik.tem.run import inputs_read, sign_of_life, spun_of, state_at
from talik.tem.settings import Factorial, Files, PermafrostCarbon, TemSettings


def run_block(out: Path, settings: TemSettings, files: Files, cells: range, start: Path, stock: Path) -> None:
    """Run the experiments of some cells of a project and write one NetCDF file with groups history and experiments.

    start : a file of `talik.tem.run.spin_block` or of an earlier run; stock : of
    `talik.tem.permafrost.setup.write_stock`.
    """
    wanted, permafrost = sections_of(settings)
    keep_compiled()
    columns = read_columns(settings, files.paths("land")).part(cells)
    history, scenarios = read_climates(settings, files, columns)
    state, parameters, chosen, december = state_at(start, columns, history, settings)
    plan = Plan(wanted, permafrost, chosen)
    held = read_stock(stock, cells)
    experiments = Experiments(plan, columns, parameters, held, sign_of_life(cells))
    past, book = experiments.run(state, history, scenarios, december)
    notes = [*columns.notes, *held.notes, *history.notes]
    for name, climate in scenarios.items():
        notes += [f"{name}: {note}" for note in climate.notes if note not in history.notes]
    years = range(history.first_year, book.years.stop)
    audit = audit_of(columns, years, experiments.worst, spun_of(start), tuple(notes))
    audit["without_permafrost"] = experiments.without_permafrost
    inputs = {name: digest for climate in scenarios.values() for name, digest in climate.inputs.items()}
    designed = plan.experiments
    attributes = {
        "audit": json.dumps(audit),
        "talik_inputs": json.dumps({**inputs_read(history, files), **inputs}, sort_keys=True),
        "reference": reference_of(designed),
        "reference_year": permafrost.reference_year,
        "factors": json.dumps({name: e.factors() for name, e in designed.items()}),
    }
    observed = (held.source == "observed").astype(np.float64)
    whole = book.dataset().assign(
        observed_share=(
            "cell",
            columns.mean(observed),
            {
                "units": "1",
                "long_name": "share of the cell whose soil carbon is known, not of a mean profile",
            },
        )
    )
    xr.Dataset(attrs=attributes).to_netcdf(out, engine="netcdf4")
    # what is frozen then depends on the reference year, which each scenario has for itself
    before = past.dataset().drop_vars("cSoilPermafrost", errors="ignore")
    for group, data in (("history", before), ("experiments", whole)):
        encoding = {n: {"zlib": True, "complevel": 1} for n in data.data_vars}
        data.to_netcdf(out, engine="netcdf4", group=group, mode="a", encoding=encoding)


def sections_of(settings: TemSettings) -> tuple[Factorial, PermafrostCarbon]:
    """What experiments need of a project; ConfigError if it is not there."""
    if settings.factorial is None or settings.permafrost is None:
        raise ConfigError("tem: experiments need the sections factorial and permafrost. Add them.")
    return settings.factorial, settings.permafrost


def read_climates(
    settings: TemSettings, files: Files, columns: Columns
) -> tuple[Climate, dict[str, Climate]]:
    """Climate of the years before the scenarios, and of every scenario; CO2 of each is that of its own rows.

    Raises:
        InputError: scenarios that do not follow the years before, do not end together, or lack the reference year.
    """
    wanted, permafrost = sections_of(settings)
    _check_names(wanted)
    first = next(iter(wanted.scenarios.values()))
    scenarios = {}
    for name, scenario in wanted.scenarios.items():
        rows = scenario.co2 or settings.co2.scenario
        scenarios[name] = read_run(_with_co2(settings, rows), files.under(name), columns)
    history = read_run(_with_co2(settings, settings.co2.scenario or first.co2), files, columns)
    year = permafrost.reference_year
    last = {climate.years[-1] for climate in scenarios.values()}
    for name, climate in scenarios.items():
        held = f"tem.factorial.scenarios.{name}: holds {climate.years[0]}..{climate.years[-1]}"
        if climate.years[0] != history.years[-1] + 1:
            raise InputError(
                f"{held}, the years before end with {history.years[-1]}; expected {history.years[-1] + 1} first. Give "
                "files that follow each other, or set tem.period."
            )
        if year not in climate.years[:-1]:
            raise InputError(
                f"{held}; expected the reference year {year} and years after it. Set permafrost.reference_year."
            )
        if len(last) > 1:
            raise InputError(
                f"{held}; the scenarios end in {', '.join(map(str, sorted(last)))}, but their experiments are compared "
                "year by year. Give files that end together."
            )
    return history, scenarios


def _with_co2(settings: TemSettings, rows: str | None) -> TemSettings:
    return settings.model_copy(update={"co2": settings.co2.model_copy(update={"scenario": rows})})


def _check_names(wanted: Factorial) -> None:
    """ConfigError for variables that there are none of."""
    for key, names, known in (
        ("variables", wanted.variables or (), VARIABLES),
        ("monthly", wanted.monthly, MONTHLY),
    ):
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(
                f"tem.factorial.{key}: {unknown[0]!r} is unknown; choose from: {', '.join(known)}."
            )
