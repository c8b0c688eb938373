"""The protocol for an ensemble of inversions: months, groups, decades, limits, satellite check."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from talik.ensembles.inversion_months import MIN_COVERAGE, Regions, monthly_totals
from talik.ensembles.inversion_parts import NATURAL
from talik.errors import ConfigError, CoverageError, FluxError, UnitsSuspect
from talik.flux.table import flux_var
from talik.products.annual import Years
from talik.regions.axes import grid_of
from talik.sources.inversion_checks import check_global_totals, global_totals, is_global

Recipe = Literal["t", "spread"]
RECIPES: Mapping[str, str] = MappingProxyType(
    {
        "t": "t interval of the mean over the groups",
        "spread": "mean -+ 1.96 standard deviations (n - 1) of the groups",
    }
)
PERIODS: Mapping[str, tuple[Years, ...]] = MappingProxyType(
    {
        "CO2": ((2000, 2009), (2010, 2020)),
        "CH4": ((2000, 2009), (2010, 2017)),
        "N2O": ((2000, 2009), (2010, 2019)),
    }
)
"""Decades of Hugelius et al. (2024), by gas; the second ends where the inversions of that study do."""
GAS_OF: Mapping[str, str] = MappingProxyType(
    {
        "nbe": "CO2",
        "fFire": "CO2",
        "nee": "CO2",
        "fch4": "CH4",
        "fFireCh4": "CH4",
        "fn2o": "N2O",
        "fFireN2o": "N2O",
    }
)
FIRES = ("fFire", "fFireCh4", "fFireN2o")
FEWEST = 4
"""With fewer groups the limits are so wide or so uncertain that a note says so."""
_MONTHS = 12
_NORMAL = 1.96


@dataclass(frozen=True, eq=False, kw_only=True)
class InversionEnsemble:
    """What an ensemble of inversions says about regions, every step of the protocol kept.

    variable, gas : of the flux table, and of the posts. months : `member`, `group`, `region`, `year`, `month`,
    `total` (Tg month-1 of the element, sign of the table), `coverage`. groups : `group`, `region`, `period`, `mean`
    (Tg yr-1), `years`, `members` (how many were averaged). summary : `region`, `period`, `mean`, `low`, `high` (95 %),
    `sd` and `n` (of groups), `years`; the last period of each region is the whole, weighted by years. periods : the
    decades. recipe : key of `RECIPES`. natural : whether human emissions other than fire are out. notes : what was left
    out, and why.
    """

    variable: str
    gas: str
    months: pd.DataFrame
    groups: pd.DataFrame
    summary: pd.DataFrame
    periods: tuple[Years, ...]
    recipe: Recipe
    natural: bool
    sources: str
    notes: tuple[str, ...]


def summarise_inversions(
    systems: Mapping[str, xr.Dataset],
    variable: str,
    regions: Regions,
    *,
    groups: Mapping[str, str] | None = None,
    periods: Sequence[Years] | None = None,
    recipe: Recipe = "t",
    suspects: Literal["raise", "leave out"] = "raise",
    fewest_years: int | None = None,
    min_coverage: float = MIN_COVERAGE,
    natural: bool | None = None,
) -> InversionEnsemble:
    """Totals of inversions over regions by month, group and decade, with 95 % limits over groups.

    systems : name to flux dataset (`talik.sources.inversions.read_inversion`), each on its own grid; members of a
        dataset enter one by one under their own names.
    groups : member to the group that submitted it; the members of a group are averaged before groups are compared.
        A member without entry is its own group.
    periods : adjacent decades, in order; by default `PERIODS` of the gas.
    recipe : how limits are made (see `RECIPES`). How the published ones were made is not stated.
    suspects : what happens to a member whose global total is outside 1/3 to 3 times what is known of the gas.
    fewest_years : complete years that a member needs in a period to enter it; by default all of them.
    min_coverage : least share of a region's land with data in a month.
    natural : whether no human emissions are in the fluxes. By default so for `nbe`, `nee` and fire, and where
        `talik.ensembles.inversion_parts.natural_flux` made every dataset; say it for sums of natural sectors.

    A year counts if its twelve months are there. The mean of a period is that of its years; the mean of the whole is
    weighted by the years of the periods, and so are its limits, which is what the published ones do: sum of
    years x value / sum of years. A member or group that does not enter is named in `notes`, and never counts as 0.

    Source: Hugelius et al. (2024), protocol of inversions (specification, inventory section 12).
    FluxError: a dataset that is no inversion. UnitsSuspect: such a member, unless it is left out. CoverageError: no
    member enters some period of a region. ConfigError: unknown recipe or variable, unknown member in `groups`, a name
    twice, periods that are not adjacent.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"recipe {recipe!r} is unknown; choose one of: {', '.join(RECIPES)}.")
    if variable not in GAS_OF:
        raise ConfigError(f"no inversion gives {variable!r}; choose one of: {', '.join(GAS_OF)}.")
    for name, ds in systems.items():
        if ds.attrs.get("approach") != "inversion":
            raise FluxError(
                f"{name}: expected approach 'inversion'; found {ds.attrs.get('approach')!r}. Ensembles of process "
                "models have other limits."
            )
    given = {m for name, ds in systems.items() for m in member_names(ds, name)}
    if unknown := sorted(set(groups or {}) - given):
        raise ConfigError(
            f"groups name {unknown[0]!r}, which is no member; found {', '.join(sorted(given)) or 'none'}."
        )
    notes: list[str] = []
    tables = []
    for name, ds in systems.items():
        kept = _believed(ds, name, variable, suspects, notes)
        if kept is not None:
            tables.append(monthly_totals(kept, variable, regions, name=name, min_coverage=min_coverage))
            there = set(tables[-1]["member"])
            notes += [
                f"{m}: no month with data in any region" for m in member_names(kept, name) if m not in there
            ]
    if not tables or not sum(map(len, tables)):
        raise CoverageError(
            f"no inversion has {variable!r} in the regions; notes: {'; '.join(notes) or 'none'}."
        )
    if natural is None:
        natural = is_natural(variable, systems.values())
    return summarise_months(
        pd.concat([t for t in tables if len(t)], ignore_index=True),
        variable,
        groups=groups,
        periods=periods,
        recipe=recipe,
        fewest_years=fewest_years,
        natural=natural,
        sources="; ".join(dict.fromkeys(str(ds.attrs.get("source", name)) for name, ds in systems.items())),
        notes=notes,
    )


def is_natural(variable: str, systems: Iterable[xr.Dataset]) -> bool:
    """Whether no human emissions are in a flux: by its meaning, or because `natural_flux` made every dataset."""
    return variable in ("nbe", "nee", *FIRES) or all(ds.attrs.get(NATURAL) for ds in systems)


def summarise_months(
    months: pd.DataFrame,
    variable: str,
    *,
    groups: Mapping[str, str] | None = None,
    periods: Sequence[Years] | None = None,
    recipe: Recipe = "t",
    fewest_years: int | None = None,
    natural: bool = False,
    sources: str = "",
    notes: Sequence[str] = (),
) -> InversionEnsemble:
    """The ensemble of rows of `monthly_totals`; all else as in `summarise_inversions`, with what it says on errors.

    natural : whether no human emissions are in the rows. sources : the products, in words. notes : what was found
    before.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"recipe {recipe!r} is unknown; choose one of: {', '.join(RECIPES)}.")
    decades = _adjacent(periods or PERIODS[GAS_OF[variable]])
    told = list(notes)
    grouped = _grouped(months, groups or {})
    by_group = _period_means(grouped, decades, fewest_years, told)
    return InversionEnsemble(
        variable=variable,
        gas=GAS_OF[variable],
        months=grouped,
        groups=by_group,
        summary=_summary(by_group, list(dict.fromkeys(grouped["region"])), decades, recipe, told),
        periods=decades,
        recipe=recipe,
        natural=natural,
        sources=sources,
        notes=tuple(dict.fromkeys(told)),
    )


def mean_by_years(values: Sequence[float], years: Sequence[float]) -> float:
    """Mean of period means weighted by their years: (10 x -526 + 11 x -643) / 21 = -587. NaN if one is."""
    return float(np.average(np.asarray(values, float), weights=np.asarray(years, float)))


def limits_of(values: Sequence[float], recipe: Recipe = "t") -> tuple[float, float]:
    """95 % limits from one value a group; NaN for fewer than two.

    ``t`` : mean -+ t(0.975, n - 1) s / sqrt(n), how sure the mean is if groups are independent. ``spread`` : mean -+
    1.96 s, where a further group would lie. s has n - 1.
    """
    held = np.asarray(values, float)
    if held.size < 2:
        return math.nan, math.nan
    mean, sd = float(held.mean()), float(held.std(ddof=1))
    half = (
        float(stats.t.ppf(0.975, held.size - 1)) * sd / math.sqrt(held.size)
        if recipe == "t"
        else _NORMAL * sd
    )
    return mean - half, mean + half


def satellite_check(months: pd.DataFrame, runs: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """How far runs of a system with satellite data lie from its runs with surface data, by region.

    months : of `monthly_totals` or an `InversionEnsemble`. runs : system to (member with surface data, member with
    satellite data). Only months that both have count. Columns `system`, `region`, `months`, `surface` and `satellite`
    (mean monthly flux, Tg month-1) and `difference` in percent of the size of the surface value, positive where the
    satellite run is larger; NaN if that value is 0.

    ConfigError: an unknown member. CoverageError: no month in common.
    """
    held = set(months["member"])
    rows = []
    for system, (surface, satellite) in runs.items():
        for member in (surface, satellite):
            if member not in held:
                raise ConfigError(f"{system}: no member {member!r}; found {', '.join(sorted(held))}.")
        pair = [
            months[months["member"] == m].set_index(["region", "year", "month"])["total"]
            for m in (surface, satellite)
        ]
        both = pd.concat(pair, axis=1, join="inner", keys=["surface", "satellite"])
        if both.empty:
            raise CoverageError(f"{system}: {surface} and {satellite} have no month in common.")
        for region, one in both.groupby(level="region", sort=False):
            a, b = float(one["surface"].mean()), float(one["satellite"].mean())
            rows.append((system, region, len(one), a, b, 100.0 * (b - a) / abs(a) if a else math.nan))
    return pd.DataFrame(rows, columns=["system", "region", "months", "surface", "satellite", "difference"])


def member_names(ds: xr.Dataset, name: str) -> list[str]:
    """Names of the members of a package of inversions; `name` for one that has none."""
    return [str(m) for m in ds["member"].values] if "member" in ds.dims else [name]


def _adjacent(periods: Sequence[Years]) -> tuple[Years, ...]:
    for first, last in periods:
        if first > last:
            raise ConfigError(f"period {first}-{last} ends before it begins; give (first year, last year).")
    for (_, end), (start, _) in itertools.pairwise(periods):
        if start != end + 1:
            raise ConfigError(f"periods must follow each other; {start} does not follow {end}.")
    return tuple((int(a), int(b)) for a, b in periods)


def _believed(ds: xr.Dataset, name: str, variable: str, suspects: str, notes: list[str]) -> xr.Dataset | None:
    """The dataset without members whose global total is suspect; None if nothing is left."""
    if variable not in ds.data_vars or not is_global(grid_of(ds)) or variable in FIRES:
        return ds
    land = ds.get("land_fraction") if flux_var(variable).per == "land" else None
    if flux_var(variable).per == "land" and land is None:
        return ds
    part = bool(ds.attrs.get(NATURAL) or ds.attrs.get("part_of_total"))
    bad = []
    for member, total in global_totals(ds[variable], land).items():
        try:
            check_global_totals({member: total}, variable, name, part=part)
        except UnitsSuspect as err:
            if suspects == "raise":
                raise
            notes.append(f"{member or name} left out: {err}")
            bad.append(member)
    if not bad:
        return ds
    return ds.drop_sel(member=bad) if "member" in ds.dims and len(bad) < ds.sizes["member"] else None


def _grouped(months: pd.DataFrame, groups: Mapping[str, str]) -> pd.DataFrame:
    twice = months[months.duplicated(["member", "region", "year", "month"])]
    if len(twice):
        raise ConfigError(
            f"member {twice['member'].iloc[0]!r} stands in two datasets; rename it or leave one out."
        )
    out = months.copy()
    out.insert(1, "group", [groups.get(m, m) for m in months["member"]])
    return out


def _period_means(
    months: pd.DataFrame, periods: Sequence[Years], fewest: int | None, notes: list[str]
) -> pd.DataFrame:
    """Mean of a group in each period, Tg yr-1, from the complete years of its members."""
    keys = ["group", "member", "region", "year"]
    yearly = months.groupby(keys, sort=False)["total"].agg(["sum", "count"]).reset_index()
    yearly = yearly[yearly["count"] == _MONTHS]
    rows = []
    for first, last in periods:
        wanted = last - first + 1
        inside = yearly[yearly["year"].between(first, last)]
        for group, region, member in (
            months[["group", "region", "member"]].drop_duplicates().itertuples(index=False)
        ):
            one = inside[(inside["member"] == member) & (inside["region"] == region)]["sum"]
            if len(one) < (fewest if fewest is not None else wanted):
                notes.append(
                    f"{member} is not in {first}-{last} of {region}: {len(one)} of {wanted} years are complete"
                )
                continue
            rows.append((group, region, f"{first}-{last}", float(one.mean()), len(one)))
    held = pd.DataFrame(rows, columns=["group", "region", "period", "mean", "years"])
    out = held.groupby(["group", "region", "period"], sort=False)
    table = out.agg(mean=("mean", "mean"), years=("years", "mean"), members=("mean", "size"))
    return table.reset_index()


def _summary(
    groups: pd.DataFrame, regions: Sequence[str], periods: Sequence[Years], recipe: Recipe, notes: list[str]
) -> pd.DataFrame:
    rows = []
    for region in regions:
        parts = []
        for first, last in periods:
            here = groups[(groups["region"] == region) & (groups["period"] == f"{first}-{last}")]["mean"]
            if here.empty:
                raise CoverageError(
                    f"{region}: no inversion has all of {first}-{last}. Choose other periods, or lower fewest_years."
                )
            low, high = limits_of(here.tolist(), recipe)
            sd = float(here.std(ddof=1)) if len(here) > 1 else math.nan
            parts.append((float(here.mean()), low, high, sd, len(here), last - first + 1))
            rows.append((region, f"{first}-{last}", *parts[-1]))
            if len(here) < FEWEST:
                notes.append(
                    f"{region}, {first}-{last}: {len(here)} group{'s' * (len(here) > 1)}, limits say little"
                )
        if len(periods) > 1:
            years = [part[5] for part in parts]
            mean, low, high = (mean_by_years([part[k] for part in parts], years) for k in range(3))
            label = f"{periods[0][0]}-{periods[-1][1]}"
            rows.append(
                (region, label, mean, low, high, math.nan, min(part[4] for part in parts), sum(years))
            )
    return pd.DataFrame(rows, columns=["region", "period", "mean", "low", "high", "sd", "n", "years"])
