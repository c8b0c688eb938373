"""Atmospheric CO2 of a run, one value a year: from tables, scenario tables and DVM-DOS-TEM files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.flux.units import as_units
from talik.sources.climate_grids import open_grid
from talik.sources.climate_tables import is_table
from talik.sources.site_table import numbers, split_header
from talik.sources.table_file import read_table

LOWEST, HIGHEST = 150.0, 3000.0
"""Plausible annual means (ppm): below the ice ages, above SSP5-8.5 in 2300."""
_NAMES = ("co2_ppm", "co2")


def read_co2(
    paths: str | Path | Sequence[str | Path], *, years: tuple[int, int], scenario: str | None = None
) -> xr.DataArray:
    """CO2 mole fraction of the air in ppm, float64 (year,), for every year from the first to the last of `years`.

    paths : a table with columns year and co2_ppm or `co2 [ppm]`, or a DVM-DOS-TEM file (co2 by year, in ppm); of
        several, a later file gives only the years that the earlier ones do not hold.
    scenario : which rows of a table with a column scenario, such as "ssp585".

    Raises:
        InputError: years that no file holds, years given twice, or values that are no mole fractions in ppm.
        ConfigError: a scenario that is missing, unknown or not needed.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    if not files or years[0] > years[1]:
        raise ConfigError(
            f"co2: {len(files)} files, years {years}; expected a file and (first year, last year)."
        )
    wanted = range(years[0], years[1] + 1)
    found: dict[int, float] = {}
    used: list[str] = []
    chosen = False
    for path in files:
        series, by_scenario = _read(path, scenario)
        chosen |= by_scenario
        new = {y: v for y, v in series.items() if y in wanted and y not in found}
        if new:
            found |= new
            used.append(f"{path.name} {min(new)}-{max(new)}")
    if scenario is not None and not chosen:
        raise ConfigError(
            f"{files[0]}: has no column scenario, but scenario {scenario!r} was asked for. Leave it out."
        )
    missing = [y for y in wanted if y not in found]
    if missing:
        raise InputError(
            f"{', '.join(map(str, files))}: no CO2 for {len(missing)} of {len(wanted)} years, first {missing[0]}, last "
            f"{missing[-1]}. Choose years inside, or add a file that holds them."
        )
    return xr.DataArray(
        np.array([found[y] for y in wanted]),
        dims="year",
        coords={"year": np.array(wanted)},
        name="co2",
        attrs={
            "units": "ppm",
            "long_name": "mole fraction of CO2 in dry air, annual mean",
            "source": ", ".join(used) + (f" ({scenario})" if scenario else ""),
        },
    )


def _read(path: Path, scenario: str | None) -> tuple[dict[int, float], bool]:
    """Year to ppm of one file, and whether its rows were chosen by scenario."""
    by_scenario = False
    if is_table(path):
        table, _ = read_table(path)
        by_scenario = "scenario" in table
        if by_scenario:
            table = _of_scenario(table, scenario, path)
        years, ppm = _columns(table, path)
    else:
        years, ppm = _netcdf(path)
    bad = ~((ppm >= LOWEST) & (ppm <= HIGHEST))
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(
            f"{path}: CO2 of {years[i]:g} is {ppm[i]:g}; expected {LOWEST:g}..{HIGHEST:g} ppm. Is it a mole fraction "
            "(x 1e6), or missing?"
        )
    if (years % 1 != 0).any() or np.unique(years).size != years.size:
        raise InputError(
            f"{path}: years are not whole or occur twice; expected one row a year. Correct the column."
        )
    return dict(zip(years.astype(int).tolist(), ppm.tolist(), strict=True)), by_scenario


def _of_scenario(table: pd.DataFrame, scenario: str | None, path: Path) -> pd.DataFrame:
    held = sorted(table["scenario"].astype(str).unique())
    if scenario not in held:
        raise ConfigError(f"{path}: scenario is {scenario!r}; choose one of: {', '.join(held)}.")
    return table[table["scenario"].astype(str) == scenario].reset_index(drop=True)


def _columns(table: pd.DataFrame, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Years and ppm of a table."""
    headers = {split_header(c)[0].lower(): c for c in table.columns}
    name = next((n for n in _NAMES if n in headers), None)
    if "year" not in headers or name is None:
        raise InputError(
            f"{path}: holds {', '.join(map(str, table.columns[:15]))}; expected year and co2_ppm (or 'co2 [ppm]'). "
            "Rename the columns."
        )
    units = split_header(headers[name])[1] or ("ppm" if name == "co2_ppm" else None)
    data = xr.DataArray(numbers(table[headers[name]], path).to_numpy(), dims="year", name=str(headers[name]))
    ppm = as_units(data.assign_attrs(units=units), "ppm")
    return numbers(table[headers["year"]], path).to_numpy(), ppm.to_numpy()


def _netcdf(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Years and ppm of a DVM-DOS-TEM file; its co2 has no units and is in ppm."""
    with open_grid(path) as dataset:
        if not {"co2", "year"} <= set(dataset.variables) or dataset["co2"].dims != ("year",):
            raise InputError(
                f"{path}: holds {', '.join(map(str, dataset.variables))}; expected co2 by year. Give a "
                "DVM-DOS-TEM file or a table."
            )
        data = dataset["co2"].astype(np.float64)
        units = dataset["co2"].attrs.get("units", "ppm")
        return dataset["year"].values.astype(np.float64), as_units(
            data.assign_attrs(units=units), "ppm"
        ).values
