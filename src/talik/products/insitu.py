"""Annual fluxes of sites: a site-year counts if all twelve months were measured; years are averaged, then sites."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from talik.errors import InputError, UnitsError

MONTHLY = "g m-2 month-1"
LONG_RECORD_YEARS = 7
"""A trend is looked for at sites with more whole years than this (Virkkala et al. 2025)."""


def site_years(
    table: pd.DataFrame, value: str = "nee", *, units: str, site: str = "site_id", keep: Iterable[str] = ()
) -> pd.DataFrame:
    """Annual sums of the site-years that have all twelve months, one row a site and year.

    table : one row a site and calendar month, with columns `site`, ``year``, ``month`` and `value`, as
        :func:`talik.sources.site_table.read_sites` gives. A row without a value or a date is no month.
    units : those of `value`; only 'g m-2 month-1' (an amount per calendar month) can be summed.
    keep : columns that belong to the site (biome, permafrost, country); the first value of the site is kept.

    Returns columns `site`, ``year``, `value` (g m-2 year-1) and `keep`, in order of site and year. Winter that was not
    measured is never filled: chambers of summer alone never count.

    InputError: columns are missing, or a site has two rows in one month. UnitsError: other units.
    """
    if units != MONTHLY:
        raise UnitsError(
            f"{value!r}: expected units {MONTHLY!r}; found {units!r}. talik.sources.site_table.read_sites converts."
        )
    kept = list(keep)
    lacking = [c for c in (site, "year", "month", value, *kept) if c not in table.columns]
    if lacking:
        raise InputError(
            f"site table: columns {', '.join(lacking)} missing; found {', '.join(map(str, table.columns[:12]))}. Name "
            "them with site=..., or rename them."
        )
    rows = table[[site, "year", "month", value]].dropna()
    rows = rows.astype({"year": np.int64, "month": np.int64})
    if bad := sorted(set(rows["month"]) - set(range(1, 13))):
        raise InputError(f"site table: expected months 1..12; found {bad}.")
    twice = rows.duplicated([site, "year", "month"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise InputError(
            f"site table: {row[site]} has two rows for {row['year']}-{row['month']:02d} ({int(twice.sum())} repeats). "
            "Keep one measurement of each site and month; towers and chambers at one place are two sites."
        )
    grouped = rows.groupby([site, "year"], sort=True)[value].agg(["sum", "size"])
    out = grouped[grouped["size"] == 12]["sum"].rename(value).reset_index()
    if kept:
        labels = table.groupby(site)[kept].first()
        out = out.merge(labels, left_on=site, right_index=True, how="left")
    return out


def site_means(annual: pd.DataFrame, value: str = "nee", *, site: str = "site_id") -> pd.DataFrame:
    """Mean over the years of each site of `site_years`, with ``n_years``, ``first_year`` and ``last_year``."""
    labels = [c for c in annual.columns if c not in (site, "year", value)]
    grouped = annual.groupby(site, sort=True)
    out = grouped.agg(
        **{
            value: (value, "mean"),
            "n_years": ("year", "size"),
            "first_year": ("year", "min"),
            "last_year": ("year", "max"),
            **{c: (c, "first") for c in labels},
        }
    )
    return out.reset_index()


def summary_by_group(
    means: pd.DataFrame, value: str = "nee", *, by: str | None = None, everything: str = "all"
) -> pd.DataFrame:
    """Mean, SD (n - 1) across sites and share of sources, over all sites and by group.

    means : from `site_means`; each site counts once, however many years it has. Columns of the result: ``group``,
    ``mean``, ``sd`` (g m-2 year-1), ``n_sites``, ``n_site_years``, ``source_share`` (sites with a mean above zero) and
    ``share_of_sources`` (of all sources, how many are in the group). Sites without a group are in the first row alone.
    """
    parts = [(everything, means)]
    if by is not None:
        if by not in means.columns:
            raise InputError(
                f"expected group column {by!r}; found {', '.join(means.columns)}. Pass keep=[{by!r}]."
            )
        parts += [(str(name), rows) for name, rows in means.groupby(by, sort=True)]
    all_sources = int((means[value] > 0).sum())
    rows = []
    for name, part in parts:
        sources = int((part[value] > 0).sum())
        rows.append(
            {
                "group": name,
                "mean": float(part[value].mean()),
                "sd": float(part[value].std(ddof=1)),
                "n_sites": len(part),
                "n_site_years": int(part["n_years"].sum()),
                "source_share": sources / len(part) if len(part) else np.nan,
                "share_of_sources": sources / all_sources if all_sources else np.nan,
            }
        )
    return pd.DataFrame(rows)


def trend_sites(
    annual: pd.DataFrame, *, more_than: int = LONG_RECORD_YEARS, site: str = "site_id"
) -> pd.DataFrame:
    """Sites of `site_years` with more whole years than that: `site`, ``n_years``, ``first_year``, ``last_year``."""
    years = annual.groupby(site)["year"].agg(n_years="size", first_year="min", last_year="max").reset_index()
    return years[years["n_years"] > more_than].reset_index(drop=True)
