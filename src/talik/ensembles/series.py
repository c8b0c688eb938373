"""Series of an ensemble: its spread year by year, and trends of its members and of their mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from talik.ensembles.derived import RUN, Annual, annual, annual_values
from talik.ensembles.members import Member, group_means, members_of
from talik.ensembles.spread import LOWER, UPPER

MEAN = "ensemble mean"
_COLUMNS = (
    "region", "scenario", "variable", "units", "member", "first_year", "last_year", "years", "slope", "low", "high",
    "tau", "p", "significant",
)  # fmt: skip
_FEWEST_YEARS = 10
"""A shorter series has no trend worth a test."""


def annual_spread(
    table: pd.DataFrame, members: pd.DataFrame | Iterable[Member], variables: Sequence[str]
) -> pd.DataFrame:
    """Members of an ensemble year by year, for drawing: one row a variable, region, scenario and year.

    Columns variable, region, scenario, year, units, n_members, mean, median, low and high (2.5th and 97.5th
    percentile), q1 and q3. Only runs with a value in every year of the scenario count, so that no step comes from a
    member that begins or ends. Ratios (cue, mrt) are those of each year.
    """
    known = members_of(members)
    data = annual(table, known)
    parts = []
    for variable in variables:
        held = annual_values(data, variable).dropna().rename("value").reset_index()
        years = held.groupby(["region", "scenario"])["year"].transform("nunique")
        whole = held[held.groupby(RUN)["year"].transform("size") == years]
        if whole.empty:
            continue
        by = ["region", "scenario", "year"]
        groups = group_means(whole, known, by).groupby(by)["value"]
        levels = np.array([LOWER / 100, 0.25, 0.5, 0.75, UPPER / 100])
        one = groups.quantile(levels).unstack()
        one.columns = pd.Index(["low", "q1", "median", "q3", "high"])
        one = one.assign(mean=groups.mean(), n_members=groups.size()).reset_index()
        parts.append(one.assign(variable=variable, units=data.units.get(variable, "")))
    columns = ["variable", "region", "scenario", "year", "units", "n_members"]
    columns += ["mean", "median", "low", "high", "q1", "q3"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def trend_rows(
    data: Annual, members: pd.DataFrame, used: pd.DataFrame, method: str, alpha: float
) -> pd.DataFrame:
    """One row a member that counts (`used`: region, scenario, variable, units, group, first_year, last_year) and one
    for the mean of members.

    Slope and its 95 % limits are in the units of the variable per year, significant where the p-value of the
    Mann-Kendall test is below `alpha`. A group's series is the mean of its models in the years that all of them have;
    the ensemble mean is over the years that all members have. Series of fewer than 10 years have no row.
    """
    rows: list[dict[str, Any]] = []
    group_of = members.set_index("model")["group"]
    for variable, of_variable in used.groupby("variable"):
        series = annual_values(data, str(variable)).dropna().reset_index(name="value")
        series["group"] = series["model"].map(group_of)
        for (region, scenario), one in of_variable.groupby(["region", "scenario"]):
            here = series[(series["region"] == region) & (series["scenario"] == scenario)]
            here = here[here["group"].isin(one["group"])]
            here = here[here["year"].between(one["first_year"].min(), one["last_year"].max())]
            rows += [
                {"region": region, "scenario": scenario, "variable": variable, "units": one["units"].iloc[0]}
                | row
                for row in _one(here, method, alpha)
            ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _one(here: pd.DataFrame, method: str, alpha: float) -> list[dict[str, Any]]:
    """Rows of the members of one region, scenario and variable, and of their mean."""
    if here.empty:
        return []
    by_model = here.pivot(index="year", columns=["group", "model"], values="value").sort_index()
    groups = list(dict.fromkeys(by_model.columns.get_level_values("group")))
    by_group = pd.DataFrame({g: by_model[g].mean(axis=1, skipna=False) for g in groups})
    by_group[MEAN] = by_group.mean(axis=1, skipna=False)
    by_group = by_group.reindex(range(int(by_group.index.min()), int(by_group.index.max()) + 1))
    enough = by_group.notna().sum() >= _FEWEST_YEARS
    by_group = by_group.loc[:, enough]
    if by_group.empty or not len(by_group.columns):
        return []
    from talik.trends import trend

    array = xr.DataArray(
        by_group.to_numpy(float).T,
        dims=("member", "time"),
        coords={"member": list(map(str, by_group.columns)), "time": by_group.index.to_numpy()},
    )
    found = trend(array, method)
    years = by_group.notna()
    rows = []
    for k, name in enumerate(by_group.columns):
        held = np.flatnonzero(years[name].to_numpy())
        slope, low, high, tau, p = (
            float(found[v].to_numpy()[k]) for v in ("slope", "low", "high", "tau", "p")
        )
        rows.append(
            {
                "member": name,
                "first_year": int(by_group.index[held[0]]),
                "last_year": int(by_group.index[held[-1]]),
                "years": len(held),
                "slope": slope,
                "low": low,
                "high": high,
                "tau": tau,
                "p": p,
                "significant": bool(p < alpha),
            }
        )
    return rows
