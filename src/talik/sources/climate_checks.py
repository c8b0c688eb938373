"""What is wrong or doubtful in a climate dataset: wrong units, months, holes, and its climate as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import InputError
from talik.sources.climate_layouts import VARIABLES
from talik.sources.climate_months import TimeAxis, complete_months
from talik.sources.problem import Problem, counted

SNOW_BELOW = -1.0
"""Monthly mean temperature (degC) below which precipitation is snow (Willmott et al. 1985; TEM 4.3)."""
DRIEST, WETTEST = 1.0, 15_000.0
"""Annual sums of precipitation (mm) that no land has: a rate was taken for an amount, or the reverse."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """Values beyond a limit, and what they usually mean."""

    variable: str
    low: float
    high: float
    below: str
    above: str


_LIMITS = (
    _Limit(
        "tas",
        150.0 - 273.15,
        100.0,
        "Are these degC under the label K? Correct the units of the file to degC.",
        "Are these K under the label degC? Correct the units of the file to K.",
    ),
    _Limit(
        "pr",
        0.0,
        np.inf,
        "Precipitation cannot be negative: check the scale factor and fill value, or set it to 0.",
        "",
    ),
    _Limit(
        "rsds",
        0.0,
        600.0,
        "Radiation cannot be negative: check the sign, scale factor and fill value.",
        "Is this J m-2 under the label W m-2? Correct the units of the file.",
    ),
    _Limit(
        "clt",
        0.0,
        1.0 + 1e-6,
        "Check the scale factor and fill value.",
        "Are these percent under the label 1? Correct the units of the file to %.",
    ),
)
_EXPECTED = {
    "tas": (-25.0, 12.0),
    "pr": (80.0, 2500.0),
    "rsds": (60.0, 240.0),
    "clt": (0.2, 0.9),
    "snow_share": (0.05, 0.9),
}


def check_climate(climate: xr.Dataset) -> list[Problem]:
    """Every problem of a climate dataset as `read_climate` returns it, errors first; values are read once.

    Errors are months that are missing or twice, missing values, and values that no climate has, which tell of units
    under a wrong label. Warnings are annual means outside the range of `climate_summary`.
    """
    errors = [*_months(climate), *_values(climate)]
    return errors or list(_climate_as_a_whole(climate))


def require_climate(climate: xr.Dataset) -> list[Problem]:
    """The warnings of `check_climate`, none if all is well.

    Raises:
        InputError: every error it finds, in one list.
    """
    problems = check_climate(climate)
    errors = [p for p in problems if p.severity == "error"]
    if errors:
        lines = "".join(f"\n  {p.column}: {p.found}. {p.remedy}" for p in errors)
        raise InputError(
            f"climate of {climate.attrs.get('source', 'the dataset')}: {counted(len(errors), 'error')}:{lines}"
        )
    return problems


def climate_summary(climate: xr.Dataset) -> pd.DataFrame:
    """Means over all years of each quantity: units, mean, lowest and highest cell, and the range expected of the mean.

    Rows are annual mean `tas` (degC), annual `pr` (mm), annual mean `rsds` (W m-2) or `clt` (1), and `snow_share`, the
    share of precipitation in months below -1 degC. Cells count alike. The ranges are wide bounds for means over land
    of the northern permafrost region, not limits of a single cell.
    """
    means: dict[str, tuple[str, xr.DataArray]] = {}
    for name in (n for n in VARIABLES if n in climate):
        mean = climate[name].mean("time", skipna=False)
        means[name] = ("mm year-1", 12 * mean) if name == "pr" else (VARIABLES[name].units, mean)
    if {"tas", "pr"} <= set(means):
        snow = climate["pr"].where(climate["tas"] < SNOW_BELOW, 0.0).sum("time")
        means["snow_share"] = ("1", snow / climate["pr"].sum("time"))
    loaded = xr.Dataset({name: mean for name, (_, mean) in means.items()}).compute()
    rows = [
        (name, units, float(loaded[name].mean()), float(loaded[name].min()), float(loaded[name].max()))
        + _EXPECTED[name]
        for name, (units, _) in means.items()
    ]
    columns = ["quantity", "units", "mean", "lowest", "highest", "expected_low", "expected_high"]
    return pd.DataFrame(rows, columns=columns).set_index("quantity")


def _months(climate: xr.Dataset) -> Iterator[Problem]:
    months = climate["time"].values.astype("datetime64[M]").astype(np.int64) + 12 * 1970
    axis = TimeAxis(months, np.ones_like(months), "standard", daily=False)
    try:
        complete_months(axis, "time")
    except InputError as err:
        yield Problem("error", "time", str(err).removeprefix("time: ").rstrip("."), "")
        return
    if months[0] % 12 or months[-1] % 12 != 11:
        found = f"runs {axis.span()}; expected whole calendar years"
        yield Problem("error", "time", found, "Select whole years with period.")


def _values(climate: xr.Dataset) -> Iterator[Problem]:
    for limit in (li for li in _LIMITS if li.variable in climate):
        data = climate[limit.variable]
        label = f"{data.attrs.get('source_variable', data.name)} of {data.attrs.get('source_files', 'the dataset')}"
        stats = xr.Dataset(
            {
                "missing": data.isnull().sum("time"),
                "below": (data < limit.low).sum("time"),
                "above": (data > limit.high).sum("time"),
                "least": data.min("time"),
                "most": data.max("time"),
                "mean": data.mean("time"),
            }
        ).compute()
        total, units = data.size, VARIABLES[limit.variable].units
        units = "" if units == "1" else f" {units}"
        missing = int(stats["missing"].sum())
        if missing:
            k = int(np.argmax(stats["missing"].values > 0))
            place = f"({float(climate['lat'][k]):g}, {float(climate['lon'][k]):g})"
            cells = counted(int((stats["missing"] > 0).sum()), "cell")
            yield Problem(
                "error",
                limit.variable,
                f"{label}: {missing} of {total} values missing in {cells}, first at (lat, lon) = {place}",
                "Leave these cells out with cells, or fill them.",
                missing,
            )
        for side, bound, remedy in (
            ("below", limit.low, limit.below),
            ("above", limit.high, limit.above),
        ):
            count = int(stats[side].sum())
            if count:
                extreme = float(stats["least"].min() if side == "below" else stats["most"].max())
                found = (
                    f"{label}: {count} of {total} values {side} {bound:g}{units} (to {extreme:g}); "
                    f"expected {limit.low:g}{f'..{limit.high:g}' if np.isfinite(limit.high) else ' or more'}{units}"
                )
                yield Problem("error", limit.variable, found, remedy, count)
        if limit.variable == "pr" and not int(stats["below"].sum()):
            yield from _annual_sums(12 * stats["mean"], label)


def _annual_sums(annual: xr.DataArray, label: str) -> Iterator[Problem]:
    """Sums that are off by the length of a month or a day in most cells."""
    for count, what, remedy in (
        (
            int((annual > WETTEST).sum()),
            f"above {WETTEST:g}",
            "Is an amount per month or day labelled as a rate per second? Correct the units of the file.",
        ),
        (
            int((annual < DRIEST).sum()),
            f"below {DRIEST:g}",
            "Is a rate per second labelled as an amount? Correct the units of the file.",
        ),
    ):
        if 2 * count > annual.size:
            found = (
                f"{label}: annual sums {what} mm in {count} of {annual.size} cells (median "
                f"{float(annual.median()):g} mm); expected {DRIEST:g}..{WETTEST:g}"
            )
            yield Problem("error", "pr", found, remedy, count)


def _climate_as_a_whole(climate: xr.Dataset) -> Iterator[Problem]:
    for name, row in climate_summary(climate).iterrows():
        low, high = float(row["expected_low"]), float(row["expected_high"])
        if not low <= float(row["mean"]) <= high:
            found = (
                f"mean over years and cells is {row['mean']:.3g} {row['units']}; expected {low:g}..{high:g}"
            )
            remedy = (
                "Right for warm or very dry cells; elsewhere the forcing is biased or its units are wrong."
            )
            yield Problem("warning", str(name), found, remedy)
