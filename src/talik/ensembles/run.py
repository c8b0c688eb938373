"""A project's ensembles as one JSON value: process models, the CMIP6 table, inversions, closure, posts, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from talik.ensembles.closure import closure
from talik.ensembles.derived import joined
from talik.ensembles.figures import SERIES
from talik.ensembles.gridded import summarise_cells
from talik.ensembles.inversion_posts import inversion_posts
from talik.ensembles.inversions import (
    GAS_OF,
    InversionEnsemble,
    is_natural,
    member_names,
    satellite_check,
    summarise_months,
)
from talik.ensembles.process_posts import process_posts
from talik.ensembles.section import Found
from talik.ensembles.series import annual_spread
from talik.ensembles.settings import EnsembleSettings
from talik.ensembles.statistics import EnsembleSummary, summarise_members
from talik.ensembles.totals import member_totals
from talik.errors import ConfigError, CoverageError, PostError
from talik.flux import open_flux
from talik.posts import Post
from talik.posts.rows import row_of
from talik.records import json_rows
from talik.regions import grid_of, land_fraction
from talik.regions.grid import northern_grid
from talik.regions.named import named_weights
from talik.sources.reccap2_cmip6 import cmip6_members, read_reccap2_cmip6, to_totals

Rows = Sequence[Mapping[str, Any]]
CMIP6 = "reccap2-cmip6"
"""What the ensemble of the regional CMIP6 table is called in results."""
STORES = ("cLand", "cVeg")
"""Without one of these there is nothing to check against NBP."""


def summarise(
    settings: EnsembleSettings, totals: Mapping[str, Rows], members: Mapping[str, Path], found: Found
) -> dict[str, Any]:
    """Everything that the section says, as JSON values.

    totals : rows of each member (yearly of models, monthly of inversions). members : harmonised datasets.
    """
    notes: list[str] = []
    ensembles: dict[str, EnsembleSummary] = {}
    spreads: dict[str, pd.DataFrame] = {}
    closed: list[dict[str, Any]] = []
    yearly = pd.DataFrame([row for name in settings.models for row in totals[name]])
    if len(yearly):
        if yearly["value"].isna().all():
            raise CoverageError(
                f"ensemble: no model has data on {100 * settings.least_coverage:g} % of the land of any region "
                f"({', '.join(dict.fromkeys(yearly['region']))}). Check the regions, or lower least_coverage."
            )
        of_models = members_table(settings, yearly)
        notes += _holes(yearly, settings.least_coverage)
        ensembles["process models"] = _of_models(settings, yearly, of_models, found)
        spreads["process models"] = _spread(_within(yearly, found.years), of_models)
        notes += _short(ensembles["process models"], of_models, yearly)
        have = set(yearly["variable"])
        if "nbp" in have and have.intersection(STORES):
            closed += json_rows(closure(yearly))
    if settings.tables.reccap2_cmip6 is not None:
        table = _cmip6_table(found.named[settings.tables.reccap2_cmip6])
        ensembles[CMIP6] = _of_models(settings, table, cmip6_members(), found)
        spreads[CMIP6] = _spread(_within(_once(table), found.years), cmip6_members())
        closed += json_rows(closure(_once(table)))
    inversions = _inversions(settings, totals, members, found, notes)
    region = _budget_region(settings, ensembles, inversions)
    posts = _posts(ensembles, inversions, region, settings.budget_label, notes)
    return {
        "regions": list(found.regions),
        "budget_region": region,
        "ensembles": {
            name: {**summary.to_dict(), "spread": json_rows(spreads[name])}
            for name, summary in ensembles.items()
        },
        "closure": closed,
        "inversions": {
            variable: {
                "gas": one.gas,
                "recipe": one.recipe,
                "periods": [list(p) for p in one.periods],
                "summary": json_rows(one.summary),
                "groups": json_rows(one.groups),
                "notes": list(one.notes),
            }
            for variable, one in inversions.items()
        },
        "fire": _fires(settings, found),
        "satellites": _satellites(settings, totals, notes),
        "posts": [row_of(post) for post in posts],
        "tables": _tables(ensembles, inversions, yearly),
        "notes": notes,
    }


def cells_of(
    paths: Mapping[str, Path], variable: str, settings: EnsembleSettings, years: tuple[int, int] | None
) -> xr.Dataset:
    """Statistics over process models in every cell, on their grid or, if they differ, on `cell_degrees`."""
    with ExitStack() as open_files:
        held = {name: open_files.enter_context(open_flux(path)) for name, path in paths.items()}
        lacking = [name for name, ds in held.items() if variable not in ds.data_vars]
        grids = {grid_of(ds).key() for name, ds in held.items() if name not in lacking}
    if len(grids) == 0:
        raise CoverageError(f"ensemble.cells: no model has {variable!r}.")
    grid = northern_grid(settings.cell_degrees, settings.north_of) if len(grids) > 1 else None
    out = summarise_cells(
        {name: partial(open_flux, path) for name, path in paths.items() if name not in lacking},
        variable,
        period=years,
        groups={name: model.group or name for name, model in settings.models.items() if name not in lacking},
        grid=grid,
        land_fraction=land_fraction if grid is not None else None,
    )
    return out.assign_attrs(without=", ".join(lacking) or "none")


def members_table(settings: EnsembleSettings, yearly: pd.DataFrame) -> pd.DataFrame:
    """One row a model, as `talik.ensembles.members.Member`."""
    burns = set(yearly.loc[yearly["variable"] == "fFire", "model"])
    rows = [
        {
            "model": name,
            "family": model.family or model.group or name,
            "group": model.group or name,
            "project": model.project or "none",
            "layered": model.soil_carbon == "layered",
            "fire": name in burns if model.fire is None else model.fire,
            "litter_in_soil": model.litter_in_soil,
        }
        for name, model in settings.models.items()
    ]
    return pd.DataFrame(rows)


def _holes(yearly: pd.DataFrame, least: float) -> list[str]:
    """Regions that a model covers too little for a total."""
    missing = yearly[yearly["value"].isna()]
    return [
        f"{model}, {region}: no total of {', '.join(dict.fromkeys(rows['variable']))}; data cover "
        f"{100 * rows['coverage'].min():.0f} % of its land, least_coverage is {100 * least:g} %"
        for (model, region), rows in missing.groupby(["model", "region"], sort=False)
    ]


def _short(summary: EnsembleSummary, members: pd.DataFrame, yearly: pd.DataFrame) -> list[str]:
    """Models that are left out for want of years."""
    flagged = summary.flagged
    short = flagged[flagged["median"].isna()] if len(flagged) else flagged
    out = [
        f"{name} is left out: {rows['reason'].iloc[0]}" for name, rows in short.groupby("member", sort=False)
    ]
    for name in members["model"]:
        group = members.loc[members["model"] == name, "group"].iloc[0]
        if group not in set(summary.members["group"]) and name not in set(
            short["member"] if len(short) else ()
        ):
            years = yearly.loc[yearly["model"] == name, "year"]
            out.append(f"{name} is left out: it has {years.min()}-{years.max()}, no year of the period")
    return out


def _of_models(
    settings: EnsembleSettings, table: pd.DataFrame, members: pd.DataFrame, found: Found
) -> EnsembleSummary:
    present = members[members["model"].isin(set(table["model"]))]
    return summarise_members(
        table, present, period=found.years or (settings.first_year, None), outlier=settings.outliers
    )


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Each year of a run once: scenarios without the historical years that were put before them."""
    historical = table["scenario"] == "historical"
    kept: pd.DataFrame = table[historical | (table["year"] > table.loc[historical, "year"].max())]
    return kept


def _cmip6_table(path: Path) -> pd.DataFrame:
    """The table in totals, with each scenario as one run from the historical years on."""
    table = to_totals(read_reccap2_cmip6(path))
    scenarios = [s for s in table["scenario"].unique() if s != "historical"]
    runs = [table[table["scenario"] == "historical"], *(joined(table, s) for s in scenarios)]
    return pd.concat(runs, ignore_index=True)


def _inversions(
    settings: EnsembleSettings,
    totals: Mapping[str, Rows],
    members: Mapping[str, Path],
    found: Found,
    notes: list[str],
) -> dict[str, InversionEnsemble]:
    """By flux, the ensemble of the inversions that have it, from their monthly totals."""
    wanted = [name for name, one in settings.inversions.items() if one.satellite_of is None]
    out: dict[str, InversionEnsemble] = {}
    with ExitStack() as open_files:
        systems = {name: open_files.enter_context(open_flux(members[name])) for name in wanted}
        for name in [n for n, ds in systems.items() if ds.attrs["approach"] != "inversion"]:
            approach = systems.pop(name).attrs["approach"]
            notes.append(f"{name} is of approach {approach}: in no ensemble of inversions")
        groups = _groups(settings, systems)
        for variable in GAS_OF:
            held = {name: ds for name, ds in systems.items() if variable in ds.data_vars}
            rows = [row for name in held for row in totals[name] if row["variable"] == variable]
            if not rows:
                notes += [f"{name}, {variable}: no month with data in any region" for name in held]
                continue
            months = pd.DataFrame(rows).drop(columns="variable")
            there = set(months["member"])
            try:
                out[variable] = summarise_months(
                    months,
                    variable,
                    groups=groups,
                    periods=[(p.first_year, p.last_year) for p in settings.decades]
                    or ([found.years] if found.years else None),
                    recipe=settings.interval,
                    natural=is_natural(variable, held.values()),
                    sources="; ".join(dict.fromkeys(str(ds.attrs["source"]) for ds in held.values())),
                    notes=[
                        f"{name}: {label}: no month with data in any region"
                        for name, ds in held.items()
                        for label in member_names(ds, name)
                        if label not in there
                    ],
                )
            except CoverageError as err:
                notes.append(f"inversions, {variable}: {err}")
    return out


def _fires(settings: EnsembleSettings, found: Found) -> list[dict[str, Any]]:
    """Yearly totals of the fire product by region: the part of the land flux that is fire."""
    if settings.fire is None:
        return []
    with open_flux(found.named[settings.fire]) as ds:
        rows = member_totals(
            str(ds.attrs["source"]),
            ds,
            None,
            lambda grid: named_weights(found.regions, grid),
            scenario="",
            variables=["fFire"],
            land_fraction=land_fraction,
            min_coverage=settings.least_coverage,
        )
    if found.years is not None:
        rows = rows[rows["year"].between(*found.years)]
    return json_rows(rows.drop(columns="scenario"))


def _groups(settings: EnsembleSettings, systems: Mapping[str, xr.Dataset]) -> dict[str, str]:
    """Member to group; the systems of a package are groups of their own unless the package names one."""
    return {
        label: one.group
        for name, one in settings.inversions.items()
        if one.group and name in systems
        for label in member_names(systems[name], name)
    }


def _satellites(
    settings: EnsembleSettings, totals: Mapping[str, Rows], notes: list[str]
) -> list[dict[str, Any]]:
    """Runs with satellite data beside those of the same system without; they enter nothing else."""
    out: list[dict[str, Any]] = []
    for name, one in settings.inversions.items():
        if one.satellite_of is None:
            continue
        months = pd.DataFrame([*totals[one.satellite_of], *totals[name]])
        for variable, rows in months.groupby("variable", sort=False):
            try:
                found = satellite_check(rows, {name: (one.satellite_of, name)})
            except (ConfigError, CoverageError) as err:
                notes.append(f"satellite check of {name}, {variable}: {err}")
                continue
            out += [{"variable": str(variable), **row} for row in json_rows(found)]
    return out


def _budget_region(
    settings: EnsembleSettings,
    ensembles: Mapping[str, EnsembleSummary],
    inversions: Mapping[str, InversionEnsemble],
) -> str:
    tables = [e.by_region for e in ensembles.values()] + [i.summary for i in inversions.values()]
    known = list(dict.fromkeys(str(r) for table in tables for r in table["region"]))
    if settings.budget_region is None:
        return known[0] if known else ""
    if settings.budget_region not in known:
        raise ConfigError(
            f"ensemble.budget_region: {settings.budget_region!r} is no region of the results; known are "
            f"{', '.join(known)}."
        )
    return settings.budget_region


def _posts(
    ensembles: Mapping[str, EnsembleSummary],
    inversions: Mapping[str, InversionEnsemble],
    region: str,
    label: str,
    notes: list[str],
) -> list[Post]:
    posts: list[Post] = []
    held = [e for e in ensembles.values() if region in set(e.members["region"])]
    if held:
        posts += process_posts(held[0], region, notes, label=label)
    for variable, one in inversions.items():
        try:
            posts += inversion_posts(one, region, label=label)
        except PostError as err:
            notes.append(f"no posts of inversions, {variable}: {err}")
    return posts


def _within(table: pd.DataFrame, years: tuple[int, int] | None) -> pd.DataFrame:
    return table if years is None else table[table["year"].between(*years)]


def _spread(table: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """Members year by year of what can be drawn as a course."""
    present = members[members["model"].isin(set(table["model"]))]
    have = set(table["variable"])
    drawn = [v for v in SERIES if v in have or (v == "nep" and {"npp", "rh"} <= have)]
    return annual_spread(table, present, drawn) if drawn else pd.DataFrame()


def _tables(
    ensembles: Mapping[str, EnsembleSummary],
    inversions: Mapping[str, InversionEnsemble],
    yearly: pd.DataFrame,
) -> dict[str, list[dict[str, Any]]]:
    def named(name: str, table: pd.DataFrame) -> list[dict[str, Any]]:
        return [{"ensemble": name, **row} for row in json_rows(table)]

    regions = [row for name, e in ensembles.items() for row in named(name, e.by_region)]
    members = [row for name, e in ensembles.items() for row in named(name, e.members)]
    for variable, one in inversions.items():
        regions += named("inversions", one.summary.assign(variable=variable, units="Tg year-1"))
        members += named("inversions", one.groups.assign(variable=variable, units="Tg year-1"))
    return {"regions": regions, "members": members, "yearly": json_rows(yearly) if len(yearly) else []}
