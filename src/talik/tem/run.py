"""A block of cells from climate to file: spin-up or restart, years, outputs, audit."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from talik.errors import InputError
from talik.provenance import hash_file
from talik.tem import model, phases
from talik.tem.biogeochemistry import Settings as BiogeochemistrySettings
from talik.tem.inputs import Climate, Columns, equilibrium_climate, parameters_of, read_columns, read_run
from talik.tem.model import Settings
from talik.tem.output import Collected, audit_of, month_seconds, state_dataset, state_from
from talik.tem.settings import Files, TemSettings
from talik.tem.thermal.freezing import UnfrozenWater


def run_block(out: Path, settings: TemSettings, files: Files, cells: range) -> None:
    """Run some cells of a project and write one NetCDF file: data, restart state (group), audit (attribute).

    Says on standard error how far it is: a block may take hours.
    """
    keep_compiled()
    columns = read_columns(settings, files.paths("land")).part(cells)
    climate = read_run(settings, files, columns)

    def tell(line: str) -> None:
        sys.stderr.write(f"  cells {cells.start}..{cells.stop - 1}: {line}\n")

    collected, kept, report = run_columns(columns, climate, settings, files.restart, tell)
    data = collected.dataset()
    data.attrs["audit"] = json.dumps(audit_of(collected, report, (*columns.notes, *climate.notes)))
    data.attrs["talik_inputs"] = json.dumps(_inputs(climate, files), sort_keys=True)
    encoding = {name: {"zlib": True, "complevel": 1} for name in data.data_vars}
    data.to_netcdf(out, engine="netcdf4", encoding=encoding)
    kept.to_netcdf(out, engine="netcdf4", group="restart", mode="a")


def _inputs(climate: Climate, files: Files) -> dict[str, str]:
    """SHA-256 of every input by name, or by path where two files share a name; not of the largest climate files."""
    held = dict(climate.inputs)
    restart = [] if files.restart is None else [Path(files.restart)]
    for path in (*files.paths("co2"), *files.paths("land"), *restart):
        digest = hash_file(path)
        if held.setdefault(path.name, digest) != digest:
            held[str(path)] = digest
    return held


def run_columns(
    columns: Columns,
    climate: Climate,
    wanted: TemSettings,
    restart: str | None = None,
    tell: phases.Tell = lambda _line: None,
) -> tuple[Collected, xr.Dataset, phases.SpinReport | None]:
    """Outputs, what a restart needs, and how the spin-up went (None after a restart) of columns under a climate."""
    before: np.ndarray | None = None
    report: phases.SpinReport | None = None
    if restart is None:
        first = equilibrium_climate(wanted, climate)
        settings = model_settings(wanted, float(first.co2[0]))
        parameters = parameters_of(columns, wanted, first)
        state, report = phases.spin(climate, parameters, wanted, settings, tell)
    else:
        held = open_restart(Path(restart), columns, climate)
        settings = model_settings(wanted, float(held.attrs["co2_reference"]))
        parameters = parameters_of(columns, wanted, climate)
        parameters = parameters._replace(snow_resistance=jnp.asarray(held["snow_resistance"].to_numpy()))
        forcing = climate.forcing(climate.first_year)
        template = jax.eval_shape(partial(model.initial_state, settings=settings), forcing, parameters)
        state, before = state_from(held, template), held["tair_december"].to_numpy()
    wilting = np.asarray(parameters.site.wilting_point * parameters.site.depth_mm)
    collected = Collected(columns)
    for year, after, outputs in phases.transient(state, climate, parameters, settings, before, tell):
        collected.add(year, outputs, wilting, month_seconds(year))
        state = after
    kept = state_dataset(state, columns, collected.years[-1]).assign(
        tair_december=("column", climate.tair[-1, 11]),
        snow_resistance=("column", np.asarray(parameters.snow_resistance)),
    )
    kept.attrs["co2_reference"] = settings.biogeochemistry.co2_reference
    return collected, kept, report


def model_settings(wanted: TemSettings, co2_reference: float) -> Settings:
    """The model's settings of a project; co2_reference : ppm of the spin-up, at which C:N is that of the table."""
    heat = wanted.soil_heat
    return Settings(
        BiogeochemistrySettings(
            substeps=wanted.substeps, co2_cn=wanted.co2_changes_cn, co2_reference=co2_reference
        ),
        geothermal=heat.geothermal_w_m2,
        unfrozen=UnfrozenWater() if heat.unfrozen_water else None,
        tolerance=heat.tolerance,
        iterations=heat.iterations,
    )


def open_restart(path: Path, columns: Columns, climate: Climate) -> xr.Dataset:
    """The columns of a restart file in the order of `columns`; InputError if it does not fit them or the years."""
    try:
        with xr.open_dataset(path, engine="netcdf4") as opened:
            held = opened.load()
    except (OSError, ValueError) as err:
        raise InputError(
            f"{path}: not readable as NetCDF ({err}). Give the tem-restart.nc of a run."
        ) from err
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


def keep_compiled() -> None:
    """Keep compiled functions in the user's cache, unless JAX was told where: the next run starts at once."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(_cache_folder()))  # type: ignore[no-untyped-call]


def _cache_folder() -> Path:
    """A folder for this kind of processor: code compiled for another may not run here."""
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    info = Path("/proc/cpuinfo")
    about = platform.processor() + platform.machine()
    if info.exists():
        about = next((line for line in info.read_text().splitlines() if line.startswith("flags")), about)
    return root / "talik" / f"jax-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
