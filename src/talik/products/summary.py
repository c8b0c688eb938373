"""All numbers of one flux dataset in one tidy table: what a command prints and a report cites."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import xarray as xr

from talik.errors import CoverageError, FluxError
from talik.flux.table import FLUXES
from talik.products.annual import Years, annual_sums, chosen_years, period_label, period_mean
from talik.products.fire import domain_of, fire_series, fire_shares, with_fire
from talik.products.indicators import (
    EARLY,
    LATE,
    amplitude_change,
    decadal_shift,
    source_fraction,
    uptake_ratio,
)
from talik.products.seasons import ANNUAL, MONTHS, Season, season
from talik.products.spread import annual_statistics, nee_consistency
from talik.products.zonal import RegionalSeries, Zones, regional_series
from talik.records import json_rows

COLUMNS = (
    "quantity",
    "variable",
    "region",
    "season",
    "period",
    "value",
    "units",
    "coverage",
    "sd_interannual",
    "sd_spatial",
    "sd_member",
    "n_years",
)
DEFAULT_SEASONS = (
    "JJA",
    "SepMay",
    "DJF",
    "MAM",
    "SON",
    "growing",
    "nongrowing",
    "autumn_shoulder",
    "spring_shoulder",
)


@dataclass(frozen=True, eq=False)
class Summary:
    """`table` has one row a number, in columns `COLUMNS`; `notes` say what was left out and why."""

    table: pd.DataFrame
    attrs: dict[str, str]
    notes: tuple[str, ...] = field(default=())
    series: Mapping[str, RegionalSeries] = field(default_factory=dict)
    """Each flux by region and step: what the numbers were made of."""

    def value(self, quantity: str, region: str, **where: str) -> float:
        """The one value of `quantity` in `region` (and e.g. season="JJA", variable="gpp"); CoverageError if not one."""
        rows = self.table
        for column, wanted in {"quantity": quantity, "region": region, **where}.items():
            rows = rows[rows[column] == wanted]
        if len(rows) != 1:
            raise CoverageError(
                f"{quantity} of {region} {where or ''}: expected one row; found {len(rows)}. Quantities are "
                f"{', '.join(self.table['quantity'].unique())}."
            )
        return float(rows["value"].iloc[0])

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers and text, missing numbers as None."""
        return {**self.attrs, "rows": json_rows(self.table), "notes": list(self.notes)}


def summarise(
    ds: xr.Dataset,
    zones: Zones | xr.DataArray,
    *,
    variables: Sequence[str] | None = None,
    seasons: Sequence[str | Season] = DEFAULT_SEASONS,
    years: Years | None = None,
    fire: xr.Dataset | None = None,
    fire_land_fraction: xr.DataArray | None = None,
    members: xr.Dataset | None = None,
    early: Years = EARLY,
    late: Years = LATE,
) -> Summary:
    """The numbers of Virkkala et al. 2025 for one monthly flux dataset, one row each.

    ds : flux dataset on the grid of `zones` (region weights alone mean ``Zones(weights=...)``). variables : by default
        all it holds. years : the period, by default all whole years. fire : dataset with ``fFire``, any grid and years.
    members : the same variables with a dimension ``member`` (bootstrap, ensemble), for ``sd_member``.

    Rows by region: ``budget`` and ``mean_flux`` (annual with its three spreads, then seasons, with SD over years);
    for NEE also ``uptake_ratio``, ``source_fraction``, ``largest_cell``, ``smallest_cell``, ``decadal_shift`` (month by
    month), ``amplitude_change``; ``implied_nee`` (Reco - GPP); ``fire``, ``nee_plus_fire``, ``fire_share_of_uptake``,
    ``fire_share_of_reco``, over the years that both have. What the data cannot give (two decades, a whole season) is
    left out, and a note says so. The maps of period means are held in memory; the rest is small.

    FluxError: no flux variable, or one that is not there. CoverageError: mask or years, as for `budgets`.
    """
    zones = zones if isinstance(zones, Zones) else Zones(weights=zones)
    held = [v for v in FLUXES if v in ds.data_vars] if variables is None else list(variables)
    if not held:
        raise FluxError(
            f"expected a flux dataset; found variables {', '.join(map(str, ds.data_vars)) or 'none'}."
        )
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    series = {v: regional_series(ds, v, zones) for v in held}
    maps = {v: period_mean(annual_sums(ds, v), years).compute() for v in held}
    for name in held:
        rows += _statistics(series[name], maps[name], members, years)
        rows += _seasons(series[name], [season(s) for s in seasons], years, notes)
    if "nee" in held:
        rows += _indicators(series["nee"], maps["nee"], years, early, late, notes)
    if {"nee", "gpp", "reco"} <= set(held):
        both = nee_consistency(ds, zones, years=years)
        rows += _rows("implied_nee", "reco - gpp", both, both["implied"], ANNUAL.name)
    if fire is not None and "nee" in held:
        rows += _fire(ds, series, fire, fire_land_fraction, years)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    attrs = {k: str(ds.attrs[k]) for k in ("approach", "source", "title") if k in ds.attrs}
    return Summary(table, attrs, tuple(notes), series)


def _statistics(
    series: RegionalSeries, mean_map: xr.DataArray, members: xr.Dataset | None, years: Years | None
) -> Iterator[dict[str, Any]]:
    name = series.variable
    other = regional_series(members, name, series.zones) if members is not None and name in members else None
    stats = annual_statistics(series, years=years, mean_map=mean_map, members=other)
    for quantity, key in (("budget", "budget"), ("mean_flux", "mean")):
        sd = {
            c: stats[f"{key}_{c}"]
            for c in ("sd_interannual", "sd_spatial", "sd_member")
            if f"{key}_{c}" in stats
        }
        yield from _tidy(quantity, name, stats[key], ANNUAL.name, stats, sd)
    yield from _tidy("area", name, stats["area"], ANNUAL.name, stats, {})


def _seasons(
    series: RegionalSeries, seasons: Sequence[Season], years: Years | None, notes: list[str]
) -> Iterator[dict[str, Any]]:
    for one in seasons:
        found = series.budgets([one]).isel(season=0, drop=True)
        try:
            # a season that starts in the year before lacks the first year of the data: take the years that are whole
            held = chosen_years(found)
        except CoverageError as err:
            notes.append(str(err))
            continue
        held = [y for y in held if years is None or years[0] <= y <= years[1]]
        if not held:
            notes.append(f"{series.variable} {one.name}: no whole season in {years}.")
            continue
        for quantity, key in (("budget", "budget"), ("mean_flux", "mean")):
            yield from _rows(
                quantity, series.variable, found.sel(year=held), found[key].sel(year=held), one.name
            )


def _indicators(
    nee: RegionalSeries,
    mean_map: xr.DataArray,
    years: Years | None,
    early: Years,
    late: Years,
    notes: list[str],
) -> Iterator[dict[str, Any]]:
    share = source_fraction(mean_map, nee.zones)
    yearly = nee.budgets().isel(season=0, drop=True)
    covered = yearly["coverage"].sel(year=chosen_years(yearly, years)).min("year")
    for quantity, key in (
        ("source_fraction", "source_fraction"),
        ("largest_cell", "largest"),
        ("smallest_cell", "smallest"),
    ):
        yield from _tidy(quantity, "nee", share[key], ANNUAL.name, share.assign(coverage=covered), {})
    try:
        ratio = uptake_ratio(nee, years=years)
        yield from _tidy("uptake_ratio", "nee", ratio["ratio"], ANNUAL.name, ratio, {})
    except CoverageError as err:
        notes.append(f"uptake_ratio left out: {err}")
    try:
        change = amplitude_change(nee, years=years)
        about = change.assign(coverage=covered)
        yield from _tidy("amplitude_change", "nee", change["change"], ANNUAL.name, about, {})
    except CoverageError as err:
        notes.append(f"amplitude_change left out: {err}")
    try:
        shift = decadal_shift(nee, early=early, late=late)
    except CoverageError as err:
        notes.append(f"decadal_shift left out: {err}")
        return
    for k, month in enumerate(MONTHS):
        yield from _tidy(
            "decadal_shift", "nee", shift.isel(month=k), month.name, xr.Dataset(attrs=shift.attrs), {}
        )


def _fire(
    ds: xr.Dataset,
    series: dict[str, RegionalSeries],
    fire: xr.Dataset,
    land: xr.DataArray | None,
    years: Years | None,
) -> Iterator[dict[str, Any]]:
    nee = series["nee"]
    burned = fire_series(fire, domain_of(ds, "nee"), nee.zones, land_fraction=land)
    common = _common(nee, burned, years)
    both = with_fire(nee, burned, years=common)
    for quantity, key in (("fire", "fire"), ("nee_same_years", "nee"), ("nee_plus_fire", "nee_fire")):
        yield from _rows(quantity, "fFire" if key == "fire" else "nee", both, both[key], ANNUAL.name)
    shares = fire_shares(both, series.get("reco"))
    for key in ("of_uptake", "of_reco"):
        if key in shares:
            yield from _tidy(f"fire_share_{key}", "fFire", shares[key], ANNUAL.name, shares, {})


def _common(nee: RegionalSeries, fire: RegionalSeries, years: Years | None) -> Years | None:
    """First and last of the years that both have inside `years`, if given."""
    if years is None:
        return None
    held = [set(chosen_years(s.budgets().isel(season=0, drop=True))) for s in (nee, fire)]
    inside = [y for y in sorted(held[0] & held[1]) if years[0] <= y <= years[1]]
    if not inside:
        raise CoverageError(
            f"NEE + fire: no year of {years[0]}-{years[1]} is whole in both; fire has {period_label(sorted(held[1]))}."
        )
    return inside[0], inside[-1]


def _rows(
    quantity: str, variable: str, found: xr.Dataset, yearly: xr.DataArray, label: str
) -> Iterator[dict[str, Any]]:
    """Rows of the mean over years of (year, region), with the SD over years."""
    years = [int(y) for y in yearly["year"].values]
    mean = yearly.mean("year", skipna=False).assign_attrs(units=yearly.attrs["units"])
    sd = {"sd_interannual": yearly.std("year", ddof=1, skipna=False)} if len(years) > 1 else {}
    about = xr.Dataset(attrs={"period": period_label(years), "n_years": len(years)})
    if "coverage" in found:
        about["coverage"] = found["coverage"].min("year")
    yield from _tidy(quantity, variable, mean, label, about, sd)


def _tidy(
    quantity: str,
    variable: str,
    values: xr.DataArray,
    label: str,
    about: xr.Dataset,
    sd: dict[str, xr.DataArray],
) -> Iterator[dict[str, Any]]:
    extra = [d for d in values.dims if d != "region"]
    if extra:
        raise FluxError(
            f"{variable!r}: a summary is of one product; found dimensions {extra} beside region. Select one, or take "
            "the mean, and give the rest as members=."
        )
    values, sd = values.compute(), {k: v.compute() for k, v in sd.items()}
    coverage = about["coverage"].compute() if "coverage" in about else None
    for k, region in enumerate(values["region"].values):
        yield {
            "quantity": quantity,
            "variable": variable,
            "region": str(region),
            "season": label,
            "period": str(about.attrs.get("period", "")),
            "value": float(values[k]),
            "units": str(values.attrs.get("units", "")),
            "coverage": float(coverage[k]) if coverage is not None else math.nan,
            # a region without data has no spread either, not a spread of zero
            **{name: float(v[k]) if math.isfinite(float(values[k])) else math.nan for name, v in sd.items()},
            "n_years": about.attrs.get("n_years"),
        }
