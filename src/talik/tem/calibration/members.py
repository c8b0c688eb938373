"""Members: runs of one project with draws of the calibrated parameters, and what their sums over the cells say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.netcdf import open_netcdf
from talik.tem.calibration.free import FreeParameters, as_project, project_value
from talik.tem.communities import COMMUNITIES
from talik.tem.diagnose.region import SUMMED, checked, regional_sums

DRAWS_FILE = "calibration-draws.csv"
COLUMNS = ("draw", "community", "parameter", "value")
MEMBERS = 20
"""Members if no number is asked for."""
DECADE = 10
"""Years of the first and of the last period, if no periods are asked for."""
NAMES_IN_RUN = {"cSoilActive": "cSoil"}
"""Names in the files of a run where they are not those of `SUMMED`."""
QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95}

Periods = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Member:
    """A draw and what stands in the project for it: keys `parameters` and `organic_soil` of the section tem."""

    draw: int
    parameters: dict[str, dict[str, float]]
    organic_soil: dict[str, dict[str, float]]


def read_draws(path: Path) -> pd.DataFrame:
    """Draws of a calibration: a row for each draw (index, int) and a column for each 'community.parameter'.

    path : a CSV file with the columns draw, community, parameter and value, as `talik tem calibrate` writes it.

    Raises:
        InputError: no such file, other columns, values that are no finite numbers, a parameter that a draw lacks or
            has twice.
        ConfigError: a community or parameter that does not exist or is not calibrated.
    """
    try:
        table = pd.read_csv(path, dtype={"community": str, "parameter": str})
    except (OSError, ValueError) as err:
        raise InputError(
            f"{path}: not readable as CSV ({err}). Give the {DRAWS_FILE} of a calibration."
        ) from err
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty:
        raise InputError(
            f"{path}: columns {', '.join(map(str, table.columns))}, {len(table)} rows; expected {', '.join(COLUMNS)} "
            f"and a row at least. Give the {DRAWS_FILE} of a calibration."
        )
    for name in ("draw", "value"):
        numbers = pd.to_numeric(table[name], errors="coerce").astype(np.float64)
        bad = ~np.isfinite(numbers) if name == "value" else ~(numbers % 1 == 0) | (numbers < 0)
        if bad.any():
            line = int(np.flatnonzero(bad)[0])
            expected = "a finite number" if name == "value" else "a whole number from 0"
            raise InputError(
                f"{path}: {name} {table[name].iloc[line]} in line {line + 2}; expected {expected}. Correct it, or "
                "calibrate again."
            )
        table[name] = numbers
    table["draw"] = table["draw"].astype(int)
    table["name"] = table["community"].astype(str) + "." + table["parameter"].astype(str)
    _check_names(path, table)
    twice = table[table.duplicated(["draw", "name"])]
    if len(twice):
        raise InputError(
            f"{path}: draw {twice['draw'].iloc[0]} has {twice['name'].iloc[0]} twice; expected it once. Leave one out."
        )
    wide = table.pivot(index="draw", columns="name", values="value")[table["name"].unique().tolist()]
    lacking = wide.isna()
    if lacking.to_numpy().any():
        draw = int(lacking.index[lacking.any(axis=1)][0])
        names = ", ".join(wide.columns[lacking.loc[draw].to_numpy()])
        raise InputError(
            f"{path}: draw {draw} has no {names}; expected every draw to have all of {', '.join(wide.columns)}. "
            "Leave this draw out, or calibrate again."
        )
    return wide


def _check_names(path: Path, table: pd.DataFrame) -> None:
    for community, parameter in table[["community", "parameter"]].drop_duplicates().itertuples(index=False):
        if community not in COMMUNITIES:
            raise ConfigError(
                f"{path}: community {community!r} is unknown; expected one of: {', '.join(COMMUNITIES)}. Correct it."
            )
        project_value(community, str(parameter), {}, {}, f"{path}: {community}.{parameter}")


def members_of(
    draws: pd.DataFrame,
    count: int | None,
    parameters: Mapping[str, Mapping[str, float]],
    organic_soil: Mapping[str, Mapping[str, float]],
) -> list[Member]:
    """Members with the values of draws in place of those of a project; where fewer are asked for than there are draws,
    they are spread evenly over the draws in their order.

    count : how many; 20, or all draws if there are fewer, if None. parameters, organic_soil : the project's own.
    ConfigError: more than there are draws, or none.
    """
    held = len(draws)
    wanted = min(MEMBERS, held) if count is None else count
    if not 1 <= wanted <= held:
        raise ConfigError(
            f"{wanted} members of {held} draws; expected 1..{held}. Ask for fewer, or draw more."
        )
    names = tuple(str(name) for name in draws.columns)
    nothing = np.zeros(len(names))
    free = FreeParameters(names, np.zeros(len(names), bool), nothing, nothing, nothing, nothing)
    chosen = np.arange(wanted) * held // wanted
    return [
        Member(int(draw), *as_project(free, values, parameters, organic_soil))
        for draw, values in zip(draws.index[chosen], draws.to_numpy()[chosen], strict=True)
    ]


def sums_of_run(folder: Path) -> xr.Dataset:
    """(year,) sums over the cells of a run of every flux and pool of `SUMMED` that it has; `area` of its cells, m2.

    folder : output of `talik tem run`. Fluxes become Pg or Tg yr-1, pools Pg or Tg at the end of the year; `species`
    says of what, `positive` the direction of a flux, `coverage` the least share of the area with a value. Years in
    which no cell has a value are missing.
    """
    again = "Run this member again."
    with (
        open_netcdf(folder / "tem-fluxes.nc", again) as fluxes,
        open_netcdf(folder / "tem-land.nc", again) as land,
        open_netcdf(folder / "tem-annual.nc", again) as annual,
    ):
        area = checked(annual, "cell_area", "m2").astype(np.float64).fillna(0.0).load()
        out = xr.Dataset({"area": area.sum().assign_attrs(units="m2", long_name="land area of the cells")})
        for name in SUMMED:
            named = NAMES_IN_RUN.get(name, name)
            source = next((ds for ds in (fluxes, land, annual) if named in ds), None)
            if source is not None:
                out[name] = _sum(name, yearly(source, named), area)
    return out


def yearly(ds: xr.Dataset, name: str) -> xr.DataArray:
    """A variable of a run by calendar year: the mean of a flux, a pool at the end of December; attributes stay."""
    values = ds[name].load().astype(np.float64)
    if "year" in values.dims:
        return values
    months = values.coarsen(time=12).construct(time=("year", "month"))
    months = months.drop_vars("time").assign_coords(year=ds["time"].dt.year.to_numpy()[::12])
    if not str(values.attrs["units"]).endswith("s-1"):
        return months.isel(month=-1).assign_attrs(values.attrs)
    bounds = ds["time_bnds"].to_numpy().astype("datetime64[s]")
    seconds = xr.DataArray(np.diff(bounds, axis=1).astype(np.float64).reshape(-1, 12), dims=("year", "month"))
    mean: xr.DataArray = (months * seconds).sum("month", skipna=False) / seconds.sum("month")
    return mean.assign_attrs(values.attrs)


def _sum(name: str, values: xr.DataArray, area: xr.DataArray) -> xr.DataArray:
    """(year,) the sum over cells; missing in years in which no cell has a value."""
    places = [dim for dim in values.dims if dim != "year"]
    by_cell = values.stack(cell=places).reset_index("cell", drop=True) if "cell" not in places else values
    of_cell = area.stack(cell=places).reset_index("cell", drop=True) if "cell" not in places else area
    known = by_cell.notnull().any("cell")
    found = regional_sums(by_cell.sel(year=known).to_dataset(name=name), of_cell)[name]
    told = {key: values.attrs[key] for key in ("long_name", "positive") if key in values.attrs}
    return found.reindex(year=values["year"]).assign_attrs({**told, **found.attrs})


def joined(runs: Iterable[xr.Dataset], members: Sequence[Member]) -> xr.Dataset:
    """(member, year) sums of all members; `draw` (member,) is the number in the file of draws."""
    parts = list(runs)
    out = xr.concat(parts, dim="member", data_vars="all", combine_attrs="override", join="exact")
    out["area"] = parts[0]["area"]
    for name in out.data_vars:
        if "coverage" in out[name].attrs:
            out[name].attrs["coverage"] = min(float(part[name].attrs["coverage"]) for part in parts)
    out = out.assign_coords(
        member=np.arange(len(parts)), draw=("member", np.array([member.draw for member in members]))
    )
    out["draw"].attrs["long_name"] = "number of the draw of the parameters"
    return out


def default_periods(years: Sequence[int]) -> list[tuple[int, int]]:
    """The first ten years, the last ten, and all."""
    first, last = years[0], years[-1]
    found = [(first, min(first + DECADE - 1, last)), (max(last - DECADE + 1, first), last), (first, last)]
    return list(dict.fromkeys(found))


def check_periods(periods: Periods, years: Sequence[int]) -> None:
    """ConfigError for periods that a run of these years does not hold."""
    for first, last in periods:
        if not years[0] <= first <= last <= years[-1]:
            raise ConfigError(
                f"period {first}-{last}: the run is {years[0]}..{years[-1]}. Choose years of the run, first year first."
            )


def summary(sums: xr.Dataset, periods: Periods) -> dict[str, Any]:
    """Median and 5 to 95 % of the members: the mean of every sum in each period, and the change between two periods.

    sums : (member, year) of `joined`. By variable: `units`, `species`, `coverage`, `periods` ("2001-2010") with
    `p05`, `median`, `p95`, and `change`, from the period that ends first to the one that begins last, with the same;
    None where years are missing, or where the two periods are one.
    """
    check_periods(periods, sums["year"].to_numpy().tolist())
    before, after = min(periods, key=lambda p: p[1]), max(periods, key=lambda p: p[0])
    out: dict[str, Any] = {}
    for name in sums.data_vars:
        values = sums[name]
        if "year" not in values.dims:
            continue
        means = {p: values.sel(year=slice(*p)).mean("year", skipna=False).to_numpy() for p in periods}
        change = None if before == after else _spread(means[after] - means[before])
        about = {key: values.attrs.get(key) for key in ("units", "species", "positive", "coverage")}
        spreads = {f"{first}-{last}": _spread(means[first, last]) for first, last in periods}
        out[str(name)] = {**about, "periods": spreads, "change": change}
    return {"change": [f"{first}-{last}" for first, last in (before, after)], "sums": out}


def _spread(values: np.ndarray) -> dict[str, float] | None:
    """Quantiles of the members; None if one has no value."""
    if not np.isfinite(values).all():
        return None
    return {name: float(np.quantile(values, q)) for name, q in QUANTILES.items()}
