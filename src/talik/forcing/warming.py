"""Global warming by year, from one historical run and either assessed warming or runs of scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError, UnitsError
from talik.flux.units import as_units
from talik.forcing.settings import Warming
from talik.sources.climate_grids import open_grid
from talik.sources.table_file import read_table

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REFERENCE = (1995, 2014)
"""Years whose mean warming is zero in assessed tables (IPCC AR6 WG1, chapter 4)."""
QUANTILES = {"low": "gsat_p05", "central": "gsat_central", "high": "gsat_p95"}
SLOPE_YEARS = 10
"""Years whose slope goes on after the end of a series."""
LONGEST = 20
"""Years that a series is continued by its slope at most."""
HISTORICAL = "historical"


@dataclass(frozen=True)
class Series:
    """Global warming (K) of consecutive years."""

    first_year: int
    values: Array

    @property
    def years(self) -> IntArray:
        """Every year, (year,)."""
        return np.arange(self.first_year, self.first_year + self.values.size)

    def mean(self, period: tuple[int, int], what: str) -> float:
        """Mean over a period; ConfigError if it is not inside."""
        inside = (self.years >= period[0]) & (self.years <= period[1])
        if inside.sum() != period[1] - period[0] + 1:
            raise ConfigError(
                f"forcing: {what} {period[0]}..{period[1]}, but the historical run holds {self.years[0]}.."
                f"{self.years[-1]}. Choose years inside."
            )
        return float(self.values[inside].mean())


def running_mean(values: Array, width: int) -> Array:
    """Mean of the `width` years from width // 2 before each year, (year,); of those there are, near the ends.

    With 20 years the mean labelled 2005 is that of 1995-2014, as in the assessed warming of AR6.
    """
    before, after = width // 2, (width - 1) // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(values.size)
    low, high = np.maximum(at - before, 0), np.minimum(at + after + 1, values.size)
    mean: Array = (total[high] - total[low]) / (high - low)
    return mean


def continued(series: Series, last_year: int, where: str) -> Series:
    """A series up to `last_year`: cut, or continued by the slope of its last ten years.

    InputError: one that would be continued by more than twenty years.
    """
    end = int(series.years[-1])
    extra = last_year - end
    if extra > LONGEST or series.values.size <= SLOPE_YEARS:
        raise InputError(
            f"{where}: warming runs {series.first_year}..{end}; expected at least {SLOPE_YEARS + 1} years up to "
            f"{last_year - LONGEST} or later. Set forcing.last_year to {end + LONGEST} or before, or give a "
            "longer series."
        )
    slope = (series.values[-1] - series.values[-1 - SLOPE_YEARS]) / SLOPE_YEARS
    beyond = series.values[-1] + slope * np.arange(1, max(extra, 0) + 1)
    whole = np.concatenate([series.values, beyond])
    return Series(series.first_year, whole[: last_year - series.first_year + 1])


def read_warming(
    settings: Warming, files: Mapping[str, Path], period: tuple[int, int], last_year: int
) -> dict[str, Series]:
    """Warming (K) relative to the mean over `period`: "historical", then every scenario from the year after.

    Historical warming is the running mean of the run up to the last year whose window ends with the run; from there a
    straight line leads to the first later year of the assessed table. Where scenarios overlap historical years, their
    mean is taken, so that there is one past. Scenarios of runs have windows that reach back into the historical run.

    files : paths as they stand in the section.

    Raises:
        InputError: series that do not cover the years, or files without the variables.
        UnitsError: tas in no unit of temperature.
        ConfigError: an unknown scenario, a period outside the historical run, or a last year inside it.
    """
    past = global_mean(files[settings.historical])
    if last_year <= past.years[-1]:
        raise ConfigError(
            f"forcing.last_year is {last_year}, but the historical run ends in {past.years[-1]}; expected a later "
            "year."
        )
    zero = past.mean(REFERENCE, "the reference period is")
    past = Series(past.first_year, past.values - zero)
    if settings.assessed is not None:
        told = read_assessed(files[settings.assessed], settings)
        out = _with_assessed(past, told, settings, last_year, str(files[settings.assessed]))
    else:
        runs = {name: global_mean(files[settings.runs[name]]) for name in settings.scenarios}
        anomalies = {name: Series(run.first_year, run.values - zero) for name, run in runs.items()}
        out = _with_runs(past, anomalies, settings, last_year, files)
    normal = out[HISTORICAL].mean(period, "climatology.period is")
    return {name: Series(s.first_year, s.values - normal) for name, s in out.items()}


def _with_assessed(
    past: Series, told: Mapping[str, Series], settings: Warming, last_year: int, where: str
) -> dict[str, Series]:
    width = settings.smoothing_years
    split = int(past.years[-1])
    whole = split - (width - 1) // 2
    smooth = running_mean(past.values, width)[: whole - past.first_year + 1]
    table = pd.DataFrame({name: pd.Series(s.values, s.years) for name, s in told.items()})
    for name in settings.scenarios:
        if told[name].first_year > split + 1:
            raise InputError(
                f"{where}: {name} begins in {told[name].first_year}, the historical run ends in {split}; expected "
                f"{split + 1} or before. Give a table that joins it."
            )
    shared = table.mean(axis=1)
    early = shared[(shared.index > whole) & (shared.index <= split)]
    # the first year after the run closes the line where the table holds none of its years
    knots = early if early.size else shared[shared.index == split + 1]
    years = np.arange(past.first_year, split + 1)
    values = np.interp(
        years,
        np.concatenate([np.arange(past.first_year, whole + 1), knots.index.to_numpy()]),
        np.concatenate([smooth, knots.to_numpy()]),
    )
    out = {HISTORICAL: Series(past.first_year, values)}
    for name in settings.scenarios:
        later = continued(told[name], last_year, f"{where} ({name})")
        out[name] = Series(split + 1, later.values[split + 1 - later.first_year :])
    return out


def _with_runs(
    past: Series,
    runs: Mapping[str, Series],
    settings: Warming,
    last_year: int,
    files: Mapping[str, Path],
) -> dict[str, Series]:
    split, width = int(past.years[-1]), settings.smoothing_years
    for name, run in runs.items():
        if run.first_year != split + 1:
            raise InputError(
                f"{files[settings.runs[name]]}: begins in {run.first_year}; expected {split + 1}, the year after the "
                "historical run. Give the run that continues it."
            )
    shortest = min(run.values.size for run in runs.values())
    shared = np.mean([run.values[:shortest] for run in runs.values()], axis=0)
    years = split - past.first_year + 1
    out = {
        HISTORICAL: Series(
            past.first_year, running_mean(np.concatenate([past.values, shared]), width)[:years]
        )
    }
    for name, run in runs.items():
        smooth = running_mean(np.concatenate([past.values, run.values]), width)
        complete = Series(past.first_year, smooth[: smooth.size - (width - 1) // 2])
        later = continued(complete, last_year, str(files[settings.runs[name]]))
        out[name] = Series(split + 1, later.values[years:])
    return out


def read_assessed(path: Path, settings: Warming) -> dict[str, Series]:
    """Assessed warming (K, relative to 1995-2014) of every scenario of a table, of the quantile asked for.

    Raises:
        InputError: columns or years missing.
        ConfigError: a scenario that the table does not hold.
    """
    table, _ = read_table(path)
    column = QUANTILES[settings.quantile]
    missing = [n for n in ("scenario", "year", column) if n not in table]
    if missing:
        raise InputError(
            f"{path}: holds {', '.join(map(str, table.columns))}; expected {', '.join(missing)} too. Rename the "
            "columns."
        )
    held = {str(name): rows for name, rows in table.groupby("scenario")}
    for name in settings.scenarios:
        if name not in held:
            raise ConfigError(
                f"forcing.warming.scenarios: {path} holds no {name!r}; choose among {', '.join(held)}."
            )
    return {
        name: _series(rows["year"].to_numpy(float), rows[column].to_numpy(float), f"{path} ({name})")
        for name, rows in held.items()
    }


def global_mean(path: Path) -> Series:
    """Mean `tas` (degC) over the globe by year, weighted with the cosine of latitude.

    Raises:
        InputError: no tas by time, lat and lon, years or values missing, or not the globe.
        UnitsError: units that are missing or no temperature.
    """
    with open_grid(path) as dataset:
        if "tas" not in dataset or set(dataset["tas"].dims) != {"time", "lat", "lon"}:
            raise InputError(
                f"{path}: expected annual means tas by time, lat and lon; found {', '.join(map(str, dataset))}."
            )
        try:
            tas = as_units(xr.decode_cf(dataset)["tas"].load(), "degC")
        except UnitsError as err:
            raise UnitsError(f"{path}: {err}") from err
    _require_globe(tas, path)
    mean = tas.weighted(xr.ones_like(tas["lat"]) * np.cos(np.deg2rad(tas["lat"].to_numpy()))).mean(
        ("lat", "lon")
    )
    return _series(mean["time"].dt.year.to_numpy().astype(float), mean.to_numpy().astype(float), str(path))


def _require_globe(tas: xr.DataArray, path: Path) -> None:
    """InputError unless the rows reach from pole to pole and the columns once around, with a value everywhere."""
    for name, whole, most in (("lat", 180.0, 180.0), ("lon", 360.0, 359.999)):
        centres = np.sort(np.asarray(tas[name].values, dtype=np.float64))
        span = centres[-1] - centres[0]
        # evenly spaced centres span one step less; half a step is left for Gaussian rows
        if centres.size < 2 or not whole - 1.5 * np.diff(centres).max() <= span <= most:
            raise InputError(
                f"{path}: {name} runs {centres[0]:g}..{centres[-1]:g} in {centres.size} steps; expected the globe. "
                "Give global fields."
            )
    missing = int((~np.isfinite(tas.values)).sum())
    if missing:
        raise InputError(
            f"{path}: tas lacks {missing} of {tas.size} values; expected one in every cell of the globe. Fill them."
        )


def _series(years: Array, values: Array, where: str) -> Series:
    order = np.argsort(years)
    years, values = years[order], values[order]
    if not (np.diff(years) == 1).all() or not np.isfinite(values).all():
        raise InputError(
            f"{where}: {years.size} values in {years.min():g}..{years.max():g}, {int((~np.isfinite(values)).sum())} of "
            "them missing; expected one value a year without a gap. Complete the series."
        )
    return Series(int(years[0]), values)
