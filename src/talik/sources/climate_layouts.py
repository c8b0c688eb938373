"""What climate files are called and hold: variables, file names of ISIMIP and CMIP6, and how a layout is recognised."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError, UnitsError
from talik.flux.units import amount_from_rate, as_units, rate_from_amount, units_of
from talik.sources.climate_months import TimeAxis, month_name, month_number

Layout = Literal["auto", "cf", "isimip3a", "isimip3b", "cmip6", "dvmdostem", "tem-csv", "csv", "cardamom"]
LAYOUTS: tuple[Layout, ...] = (
    "auto",
    "cf",
    "isimip3a",
    "isimip3b",
    "cmip6",
    "dvmdostem",
    "tem-csv",
    "csv",
    "cardamom",
)
TABLES: tuple[Layout, ...] = ("tem-csv", "csv", "cardamom")
PAST = ("historical", "spinclim", "transclim")
"""Scenarios that another scenario may follow."""


@dataclass(frozen=True, slots=True)
class ClimateVariable:
    """A variable that drives the process model, in `units`; `names` and `standard_names` are those it has in files."""

    name: str
    units: str
    long_name: str
    names: tuple[str, ...]
    standard_names: tuple[str, ...]
    cell_methods: str

    def attributes(self, held: str, units: str, files: str) -> dict[str, str]:
        """Attributes of the variable as it was read from `held` in `units` of some files."""
        return {
            "units": self.units,
            "long_name": self.long_name,
            "cell_methods": self.cell_methods,
            "source_variable": held,
            "source_units": units,
            "source_files": files,
        }


_VARIABLES = (
    ClimateVariable(
        "tas", "degC", "near-surface air temperature", ("tas", "tair"), ("air_temperature",), "time: mean"
    ),
    ClimateVariable(
        "pr",
        "mm month-1",
        "precipitation, sum of the month",
        ("pr", "prec", "precip"),
        (
            "precipitation_flux",
            "precipitation_amount",
            "lwe_precipitation_rate",
            "lwe_thickness_of_precipitation_amount",
        ),
        "time: sum",
    ),
    ClimateVariable(
        "rsds",
        "W m-2",
        "surface downwelling shortwave radiation",
        ("rsds", "nirr"),
        ("surface_downwelling_shortwave_flux_in_air", "downwelling_shortwave_flux_in_air"),
        "time: mean",
    ),
    ClimateVariable(
        "clt", "1", "cloud area fraction", ("clt", "clds"), ("cloud_area_fraction",), "time: mean"
    ),
)
VARIABLES: Mapping[str, ClimateVariable] = MappingProxyType({v.name: v for v in _VARIABLES})
"""Climate variables of the process model, by name."""

NOISE = 0.01
"""How far below zero (mm month-1, W m-2) round-off may lie; it is taken for zero."""
_AMOUNTS = ("precipitation_amount", "lwe_thickness_of_precipitation_amount")
_YEARS = r"(?P<first>\d{4})_(?P<last>\d{4})\.nc4?$"
_NAMES: Mapping[Layout, re.Pattern[str]] = MappingProxyType(
    {
        "isimip3b": re.compile(
            r"^(?P<source>[^_]+)_(?P<member>r\d+i\d+p\d+f\d+)_(?P<adjustment>[^_]+)_(?P<scenario>[^_]+)_"
            rf"(?P<variable>[^_]+)_(?P<region>[^_]+)_(?P<step>daily|monthly)_{_YEARS}"
        ),
        "isimip3a": re.compile(
            r"^(?P<source>[^_]+)_(?P<scenario>obsclim|counterclim|spinclim|transclim)_"
            rf"(?P<variable>[^_]+)_(?P<region>[^_]+)_(?P<step>daily|monthly)_{_YEARS}"
        ),
        "cmip6": re.compile(
            r"^(?P<variable>[A-Za-z0-9]+)_(?P<step>[A-Za-z0-9]+)_(?P<source>[^_]+)_(?P<scenario>[^_]+)_"
            r"(?P<member>r\d+i\d+p\d+f\d+)_(?P<grid>g[a-z0-9]*)_(?P<first>\d{6,8})-(?P<last>\d{6,8})\.nc$"
        ),
    }
)
_EXAMPLES: Mapping[Layout, str] = MappingProxyType(
    {
        "isimip3b": "gfdl-esm4_r1i1p1f1_w5e5_historical_tas_global_daily_1850_1850.nc",
        "isimip3a": "gswp3-w5e5_obsclim_tas_global_daily_1901_1910.nc",
        "cmip6": "tas_Amon_IPSL-CM6A-LR_ssp126_r1i1p1f1_gr_201501-210012.nc",
    }
)


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of a file claims: whose climate it is, of which scenario, and its months."""

    source: str
    member: str
    scenario: str
    first: int
    last: int

    def require(self, axis: TimeAxis, path: Path) -> None:
        """InputError if the months of the file are not those of its name."""
        if (axis.month.min(), axis.month.max()) != (self.first, self.last):
            raise InputError(
                f"{path}: the name says {month_name(self.first)}..{month_name(self.last)}, but the time axis runs "
                f"{axis.span()}. Was the file renamed or cut? Give layout='cf' to go by the axis."
            )


def parse_name(path: Path, layout: Layout) -> FileName | None:
    """What a file name claims in a layout that has a rule for names, None in the others.

    Raises:
        InputError: a name that does not follow the rule.
    """
    if layout not in _NAMES:
        return None
    match = _NAMES[layout].match(path.name)
    if match is None:
        raise InputError(
            f"{path}: not a file name of {layout}; expected one like {_EXAMPLES[layout]}. Give layout='cf' to read it "
            "without its name."
        )
    held = match.groupdict()
    bounds = (_month(held["first"], 1), _month(held["last"], 12))
    return FileName(held["source"], held.get("member", ""), held["scenario"], bounds[0], bounds[1])


def require_one_run(names: Sequence[FileName]) -> None:
    """InputError if files are of different models or members, or of two scenarios that do not follow each other."""
    for what in ("source", "member"):
        found = sorted({getattr(n, what) for n in names})
        if len(found) > 1:
            raise InputError(
                f"climate files: {what} is {' and '.join(found)}; expected one. Read each run by itself."
            )
    scenarios = sorted({n.scenario for n in names} - set(PAST))
    if len(scenarios) > 1:
        raise InputError(
            f"climate files: scenarios {' and '.join(scenarios)} do not follow each other; expected historical and one "
            "scenario. Read each by itself."
        )


def needed(asked: Sequence[ClimateVariable], found: Collection[str]) -> list[ClimateVariable]:
    """The variables to read: those asked for, of radiation and cloud cover only radiation where all were asked for.

    Raises:
        InputError: one that was not found.
    """
    wanted = list(asked)
    if len(wanted) == len(VARIABLES):
        wanted.remove(VARIABLES["rsds" if "clt" in found and "rsds" not in found else "clt"])
    missing = [v.name for v in wanted if v.name not in found]
    if missing:
        named = ", ".join(
            "rsds (or clt)" if n == "rsds" and len(asked) == len(VARIABLES) else n for n in missing
        )
        raise InputError(
            f"climate files: no {named}; found {', '.join(sorted(found))}. Add the files, or name the variables you "
            "need (variables=)."
        )
    return wanted


def spare_note(read: Sequence[ClimateVariable], found: Collection[str]) -> list[str]:
    """A sentence on each variable that was found and is not read."""
    names = [v.name for v in read]
    return [
        f"{n} is left out: {', '.join(names)} are enough" for n in VARIABLES if n in found and n not in names
    ]


def check_layout(layout: str) -> None:
    """ConfigError if there is no such layout."""
    if layout not in LAYOUTS:
        raise ConfigError(f"layout {layout!r} is unknown; choose one of: {', '.join(LAYOUTS)}.")


def layout_of_grid(path: Path, dataset: xr.Dataset) -> Layout:
    """The layout of a NetCDF file, by its name, else by its variables."""
    for layout, pattern in _NAMES.items():
        if pattern.match(path.name):
            return layout
    return "dvmdostem" if {"tair", "precip", "nirr"} & set(map(str, dataset.data_vars)) else "cf"


def layout_of_table(table: pd.DataFrame) -> Layout:
    """The layout of a table, by its columns."""
    if {"site", "tmin", "tmax", "ssrd", "precip"} <= set(table.columns):
        return "cardamom"
    lower = {str(c).lower() for c in table.columns}
    return "tem-csv" if {"tair_degc", "prec_mm", "clds_pct"} <= lower else "csv"


def find_variable(dataset: xr.Dataset, variable: ClimateVariable, path: Path) -> str | None:
    """The name of a climate variable in a file: by its usual names, else by its standard name; None if it is not there.

    Raises:
        InputError: several variables with the standard name and none with a usual name.
    """
    held = {str(n): v for n, v in dataset.data_vars.items() if v.ndim > 1}
    for name in variable.names:
        if name in held:
            return name
    named = [n for n, v in held.items() if v.attrs.get("standard_name") in variable.standard_names]
    if len(named) > 1:
        raise InputError(
            f"{path}: {', '.join(named)} all have the standard name of {variable.name}. Name one {variable.name}, or "
            "leave the others out."
        )
    return named[0] if named else None


def to_model_units(data: xr.DataArray, variable: ClimateVariable, *, daily: bool) -> xr.DataArray:
    """Monthly means (time, cell) in the units of the file as the variable of the model, lazily; attributes are kept.

    `time` are the first days of the months in the calendar of the file, whose lengths turn rates of precipitation into
    sums of the month. `daily` : the means are those of daily steps, so that an amount is one of a day.

    Raises:
        UnitsError: missing, unknown or unfitting units.
    """
    if not str(data.attrs.get("units", "")).strip():
        raise UnitsError(
            f"{data.name!r} has no units; expected some that become {variable.units!r}. Set the attribute units in the "
            "file; units are never guessed."
        )
    if variable.name == "pr":
        return _without_noise(_monthly_sums(data, variable, daily=daily))
    converted = as_units(data, variable.units)
    return _without_noise(converted) if variable.name == "rsds" else converted


def _without_noise(data: xr.DataArray) -> xr.DataArray:
    """Round-off below zero set to zero; what is further below stays."""
    return data.where((data >= 0) | (data < -NOISE) | data.isnull(), 0.0)


def _monthly_sums(data: xr.DataArray, variable: ClimateVariable, *, daily: bool) -> xr.DataArray:
    units = units_of(data)
    if units == variable.units and not daily:
        return data
    if _is_amount(data):
        data = data.assign_attrs(units=f"{units} {'day-1' if daily else 'month-1'}")
    elif _fits(data, "mm") or _fits(data, "kg m-2"):
        raise UnitsError(
            f"{data.name!r} is in {units!r}, an amount, but neither its standard name nor its cell_methods (time: sum) "
            "says of what time. Expected a rate such as 'kg m-2 s-1' or an amount such as 'mm month-1'; correct it."
        )
    by_month = re.search(r"\bmon(?:th)?s?\b", str(data.attrs["units"])) is not None
    if by_month and daily:
        raise UnitsError(
            f"{data.name!r} has daily steps but units {units!r}; expected a rate. Correct the units."
        )
    for target in ("mm s-1", "kg m-2 s-1"):
        try:
            rate = rate_from_amount(data, target) if by_month else as_units(data, target)
        except UnitsError:
            continue
        return amount_from_rate(
            rate.assign_attrs(units="mm s-1"), variable.units
        )  # 1 kg m-2 of water is 1 mm
    raise UnitsError(
        f"{data.name!r} is in {units!r}; expected precipitation as a rate ('kg m-2 s-1', 'mm day-1') or as the sum of "
        "a month ('mm month-1'). Correct the units."
    )


def _is_amount(data: xr.DataArray) -> bool:
    methods = str(data.attrs.get("cell_methods", ""))
    stated = data.attrs.get("standard_name") in _AMOUNTS or re.search(r"time:\s*sum", methods) is not None
    return stated and (_fits(data, "mm") or _fits(data, "kg m-2"))


def _fits(data: xr.DataArray, target: str) -> bool:
    """Whether the units of `data` become `target`."""
    try:
        as_units(xr.DataArray(0.0, name=data.name, attrs={"units": data.attrs["units"]}), target)
    except UnitsError:
        return False
    return True


def _month(stamp: str, default: int) -> int:
    """Month number of YYYY, YYYYMM or YYYYMMDD."""
    return month_number(int(stamp[:4]), int(stamp[4:6] or default))
