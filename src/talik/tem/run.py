"""A block of cells from climate to file: spin-up or restart, years, outputs, audit."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.jax64 import keep_compiled
from talik.netcdf import open_netcdf
from talik.provenance import hash_file
from talik.tem import model, phases
from talik.tem.biogeochemistry import Settings as BiogeochemistrySettings
from talik.tem.inputs import Climate, Columns, equilibrium_climate, parameters_of, read_columns, read_run
from talik.tem.model import Parameters, Settings, State
from talik.tem.output import Collected, audit_of, month_seconds, spin_audit, state_dataset, state_from
from talik.tem.permafrost.layers import Permafrost
from talik.tem.permafrost.setup import (
    freeze,
    permafrost_parameters,
    read_stock,
    thawed_by,
    thawed_years,
)
from talik.tem.permafrost.stock import Stock
from talik.tem.settings import Files, TemSettings
from talik.tem.thermal.freezing import UnfrozenWater


def spin_block(out: Path, settings: TemSettings, files: Files, cells: range) -> None:
    """Equilibrium and spin-up of some cells of a project: a file from which their runs start."""
    keep_compiled()
    columns, climate, tell = _opened(settings, files, cells)
    first = equilibrium_climate(settings, climate)
    chosen = model_settings(settings, float(first.co2[0]))
    parameters = parameters_of(columns, settings, first)
    state, report = phases.spin(climate, parameters, settings, chosen, tell)
    kept = _kept(state, columns, climate.first_year - 1, parameters, chosen)
    kept.attrs["audit"] = json.dumps({"columns": columns.cell.size, "spin_up": spin_audit(report, columns)})
    kept.attrs["talik_inputs"] = json.dumps(inputs_read(climate, files), sort_keys=True)
    kept.to_netcdf(out, engine="netcdf4")


def run_block(
    out: Path, settings: TemSettings, files: Files, cells: range, start: Path, stock: Path | None = None
) -> None:
    """Run some cells of a project and write one NetCDF file: data, restart state (group), audit (attribute).

    start : a file of `spin_block` or of an earlier run; stock : of `write_stock`, where permafrost is followed. Says on
    standard error how far it is: a block may take hours.
    """
    keep_compiled()
    columns, climate, tell = _opened(settings, files, cells)
    held = None if stock is None else read_stock(stock, cells)
    collected, kept = run_columns(columns, climate, settings, start, tell, held)
    data = collected.dataset()
    notes = (*columns.notes, *climate.notes, *(() if held is None else held.notes))
    audit = audit_of(columns, climate.years, collected.residual, spun_of(start), notes)
    data.attrs["audit"] = json.dumps(audit)
    data.attrs["talik_inputs"] = json.dumps(inputs_read(climate, files), sort_keys=True)
    encoding = {name: {"zlib": True, "complevel": 1} for name in data.data_vars}
    data.to_netcdf(out, engine="netcdf4", encoding=encoding)
    kept.to_netcdf(out, engine="netcdf4", group="restart", mode="a")


def _opened(settings: TemSettings, files: Files, cells: range) -> tuple[Columns, Climate, phases.Tell]:
    """Columns and climate of some cells, and what tells how far they are."""
    columns = read_columns(settings, files.paths("land")).part(cells)
    return columns, read_run(settings, files, columns), sign_of_life(cells)


def sign_of_life(cells: range) -> phases.Tell:
    """Tells on standard error how far a block of cells is: it may take hours."""

    def tell(line: str) -> None:
        sys.stderr.write(f"  cells {cells.start}..{cells.stop - 1}: {line}\n")

    return tell


def spun_of(start: Path) -> dict[str, Any] | None:
    """How the spin-up ended from which a run starts; None if it starts from an earlier run."""
    with xr.open_dataset(start, engine="netcdf4") as held:
        told: dict[str, Any] = json.loads(held.attrs.get("audit", "{}"))
    return told.get("spin_up")


def inputs_read(climate: Climate, files: Files) -> dict[str, str]:
    """SHA-256 of every input by name, or by path where two files share a name; not of the largest climate files."""
    held = dict(climate.inputs)
    restart = [] if files.restart is None else [Path(files.restart)]
    others = (*files.paths("co2"), *files.paths("land"), *files.paths("soil_carbon"), *restart)
    for path in others:
        digest = hash_file(path)
        if held.setdefault(path.name, digest) != digest:
            held[str(path)] = digest
    return held


def run_columns(
    columns: Columns,
    climate: Climate,
    wanted: TemSettings,
    start: Path,
    tell: phases.Tell = lambda _line: None,
    stock: Stock | None = None,
) -> tuple[Collected, xr.Dataset]:
    """Outputs of columns under a climate, and what a restart needs; stock : what freezes in the reference year."""
    state, parameters, settings, december = state_at(start, columns, climate, wanted)
    wilting = np.asarray(parameters.site.wilting_point * parameters.site.depth_mm)
    collected = Collected(columns, permafrost=wanted.permafrost is not None)

    def pass_through(state: State, parameters: Parameters, years: range) -> State:
        for year, after, outputs in phases.transient(
            state, climate, parameters, settings, december, tell, years
        ):
            collected.add(year, outputs, wilting, month_seconds(year))
            alt[year] = np.asarray(outputs.alt)
            state = after
        return state

    alt: dict[int, np.ndarray] = {}
    years = climate.years
    if wanted.permafrost is not None and stock is not None and wanted.permafrost.reference_year in years:
        frozen_from = wanted.permafrost.reference_year + 1
        state = pass_through(state, parameters, range(years[0], frozen_from))
        held = freeze(stock, thawed_by(wanted.permafrost, alt))
        collected.freeze(held)
        state, years = state._replace(permafrost=held), range(frozen_from, years[-1] + 1)
    state = pass_through(state, parameters, years)
    kept = _kept(state, columns, collected.years[-1], parameters, settings)
    return collected, kept.assign(tair_december=("column", climate.tair[-1, 11]))


def _kept(
    state: State, columns: Columns, year: int, parameters: Parameters, settings: Settings
) -> xr.Dataset:
    """What a run needs to go on after a year."""
    kept = state_dataset(state, columns, year)
    kept["snow_resistance"] = ("column", np.asarray(parameters.snow_resistance))
    kept.attrs["co2_reference"] = settings.biogeochemistry.co2_reference
    return kept


def state_at(
    start: Path, columns: Columns, climate: Climate, wanted: TemSettings
) -> tuple[State, Parameters, Settings, np.ndarray | None]:
    """State, parameters and settings from which columns go on, and the air of the December before if it is known."""
    held = open_restart(start, columns, climate)
    check_reference_year(wanted, climate, held)
    settings = model_settings(wanted, float(held.attrs["co2_reference"]))
    parameters = parameters_of(columns, wanted, climate)
    parameters = parameters._replace(snow_resistance=jnp.asarray(held["snow_resistance"].to_numpy()))
    if wanted.permafrost is not None:
        ground = permafrost_parameters(columns.community, parameters, wanted.permafrost)
        parameters = parameters._replace(permafrost=ground)
    forcing = climate.forcing(climate.first_year)
    template = jax.eval_shape(partial(model.initial_state, settings=settings), forcing, parameters)
    if "permafrost_frozen_c" in held:
        kind = template.saturation
        template = template._replace(permafrost=Permafrost(*(kind for _ in Permafrost._fields)))
    december = held["tair_december"].to_numpy() if "tair_december" in held else None
    return state_from(held, template), parameters, settings, december


def check_reference_year(wanted: TemSettings, climate: Climate, held: xr.Dataset | None) -> list[str]:
    """A note if a run ends before anything is frozen; held : the restart file from which it starts, if from one.

    Raises:
        ConfigError: permafrost that the run would never have, have twice, or lose.
    """
    frozen = held is not None and "permafrost_frozen_c" in held
    if wanted.permafrost is None:
        if frozen:
            raise ConfigError(
                f"tem.restart: {wanted.restart} holds frozen carbon, but tem has no section permafrost. Add that of "
                "the run that wrote it."
            )
        return []
    years, reference = climate.years, wanted.permafrost.reference_year
    found = f"tem.permafrost.reference_year is {reference}, the run is {years[0]}..{years[-1]}"
    if reference < years[0] and not frozen:
        raise ConfigError(
            f"{found}; expected a year of the run, or a restart file from a later year than it, because nothing is "
            "frozen before. Correct it."
        )
    if reference >= years[0] and frozen:
        raise ConfigError(
            f"{found}, but tem.restart: {wanted.restart} holds carbon that was frozen in an earlier year. Set that "
            "year."
        )
    if reference in years:
        thawed_years(wanted.permafrost, years[0])
    return [f"{found}: nothing is frozen yet"] if reference > years[-1] else []


def model_settings(wanted: TemSettings, co2_reference: float) -> Settings:
    """The model's settings of a project; co2_reference : ppm of the spin-up, at which C:N is that of the table."""
    heat = wanted.soil_heat
    return Settings(
        BiogeochemistrySettings(
            substeps=wanted.substeps,
            co2_cn=wanted.co2_changes_cn,
            co2_reference=co2_reference,
            refreeze_stop=wanted.permafrost is not None and wanted.permafrost.refreeze_stop,
        ),
        geothermal=heat.geothermal_w_m2,
        unfrozen=UnfrozenWater() if heat.unfrozen_water else None,
        tolerance=heat.tolerance,
        iterations=heat.iterations,
    )


def open_restart(path: Path, columns: Columns, climate: Climate) -> xr.Dataset:
    """The columns of a restart file in the order of `columns`; InputError if it does not fit them or the years."""
    with open_netcdf(path, "Give the tem-restart.nc of a run.") as opened:
        held = opened.load()
    if "heat_heat" not in held or "co2_reference" not in held.attrs:
        raise InputError(
            f"{path}: is no restart file of the process model. Give the tem-restart.nc of a run."
        )
    if int(held.attrs["year"]) + 1 != climate.first_year:
        raise InputError(
            f"{path}: ends with {int(held.attrs['year'])}, the run begins with {climate.first_year}; expected the year "
            "after. Set tem.period, or start from another restart file."
        )
    known = zip(held["lat"].to_numpy(), held["lon"].to_numpy(), held["community"].to_numpy(), strict=True)
    place = {(round(float(a), 4), round(float(o), 4), str(c)): i for i, (a, o, c) in enumerate(known)}
    at = columns.cell
    wanted = zip(columns.lat[at], columns.lon[at], columns.community, strict=True)
    keys = [(round(float(a), 4), round(float(o), 4), c) for a, o, c in wanted]
    missing = [k for k in keys if k not in place]
    if missing:
        lat, lon, community = missing[0]
        raise InputError(
            f"{path}: holds no state of {len(missing)} of {len(keys)} columns, first {community} at {lat}, {lon}. Run "
            "these cells from the start, or leave them out."
        )
    return held.isel(column=[place[k] for k in keys])
