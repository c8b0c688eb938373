"""All of a comparison as one JSON value: approaches by region, statistics, agreement, skill, why they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from talik.compare.agreement import agreement_by_region, coarsest_grid, on_coarser, sign_agreement
from talik.compare.contribution import PEAK, year_bounds
from talik.compare.coverage import COMPONENTS, explain_differences
from talik.compare.opening import Source
from talik.compare.regional import UNITS, single_models
from talik.compare.settings import CompareSettings
from talik.compare.skill import NOWHERE, Pairs, rank_models, site_skill
from talik.compare.synthesis import Anova, RankTest, Synthesis, coefficients_of_variation, combine
from talik.errors import ConfigError, CoverageError
from talik.flux import flux_var, make_flux_dataset, open_flux
from talik.posts.published_numbers import published_numbers
from talik.products import annual_sums
from talik.products.annual import chosen_years
from talik.records import json_rows
from talik.regions import grid_of
from talik.regions.grid import Grid

Parts = Mapping[Source, Mapping[str, Any]]
"""What `contribution` says of each dataset and site table."""
Weights = Callable[[Grid], xr.DataArray]
MEDIAN_NEE = "median NEE over approaches"
"""What the published table of regions calls its medians."""
_MEANS = (
    "n_sites",
    "bias",
    "rmse",
    "r_months",
    "cycle_r",
    "amplitude_ratio",
    "phase_shift",
    "iav_ratio",
    "r_years",
)


def agreement_of(maps: Mapping[Source, Path], settings: CompareSettings) -> xr.Dataset:
    """`sign_agreement` of all maps on the coarsest of their grids."""
    with ExitStack() as open_files:
        approaches = _by_approach(maps, settings.variable, open_files)
        return sign_agreement(
            approaches,
            coarsest_grid(approaches),
            variable=settings.variable,
            band=settings.neutral_band,
            min_approaches=min(settings.fewest_approaches, len(approaches)),
        ).load()


def result_of(
    parts: Parts,
    maps: Mapping[Source, Path],
    agreed: Path | None,
    settings: CompareSettings,
    years: tuple[int, int],
    weights: Weights,
    seed: int,
    towers: str | None = None,
) -> dict[str, Any]:
    """The result as JSON values.

    parts : of each source. maps : annual maps of the gridded ones. agreed : file of `agreement_of`. weights : regions
    on any grid. seed : of the bootstrap over towers. towers : file of the towers, for notes.
    """
    rows = pd.DataFrame(
        [
            {**row, "group": source.group or f"{source.model}: {row['model']}"}
            for source, part in parts.items()
            for row in part["rows"]
        ]
    )
    require_once(rows)
    # datasets know the order of their regions, a site table has them by name
    ordered = rows.sort_values("year", kind="stable", na_position="last")
    regions = list(dict.fromkeys(ordered["region"]))
    found = combine(rows, regions=regions)
    notes = [
        f"{source.approach}, {source.model}: {note}"
        for source, part in parts.items()
        for note in part["notes"]
    ]
    notes += _without_value(rows)
    notes += _without_position(parts, towers)
    gridded = {source.approach for source in maps}
    if maps and len(gridded) < settings.fewest_approaches:
        notes.append(
            f"the map of agreement is of {len(gridded)} approach; fewest_approaches is {settings.fewest_approaches}"
        )
    skill, ranks = _skill(parts, settings, seed, notes)
    differences = _differences(maps, settings, weights, found.mean, notes)
    entry = flux_var(settings.variable)
    return {
        "variable": settings.variable,
        "units": UNITS,
        "species": entry.species,
        "positive": entry.positive,
        "period": f"{years[0]}-{years[1]}",
        "regions": regions,
        "neutral": settings.neutral_band,
        "matrix": json_rows(_long(found)),
        "by_region": json_rows(found.regions.rename_axis("region").reset_index()),
        "cv": []
        if settings.variable == "nee"
        else json_rows(coefficients_of_variation(found.mean).rename_axis("region").reset_index()),
        "anova": _test(found.anova),
        "kruskal": _test(found.kruskal),
        "without": json_rows(found.without),
        "agreement": [] if agreed is None else _agreement_rows(agreed, weights),
        "skill": skill,
        "ranking": ranks,
        "coverage": _covered(parts),
        "differences": differences,
        "rows": json_rows(rows),
        "sources": [
            {
                "approach": source.approach,
                "model": source.model,
                "file": source.path or f"member {source.member} of section ensemble",
                "kind": part["kind"],
                "source": part["source"],
                "inputs": part["inputs"],
            }
            for source, part in parts.items()
        ],
        "published_numbers": _published(found, settings.variable),
        "notes": list(dict.fromkeys(notes)),
    }


def _without_position(parts: Parts, towers: str | None) -> list[str]:
    """How many of the towers have no position, once: all models are compared with the same towers."""
    for part in parts.values():
        for held in part["skill"].values():
            status = [place["status"] for place in held["places"]]
            lost = status.count(NOWHERE)
            if lost:
                return [
                    f"{towers}: {lost} of {len(status)} sites have no position; they have no score at towers."
                ]
    return []


def synthesis_of(found: Mapping[str, Any]) -> Synthesis:
    """The `Synthesis` of a result, from its rows."""
    return combine(pd.DataFrame(found["rows"]), regions=found["regions"])


def _published(found: Synthesis, variable: str) -> list[dict[str, Any]]:
    """Numbers of Treat et al. (2024) beside those here, where regions have their names."""
    if variable != "nee":
        return []
    medians = found.regions["median"]
    here: dict[str, float] = {}
    for number in published_numbers():
        if number.quantity == MEDIAN_NEE and number.region in medians.index:
            here[number.id] = float(medians[number.region])
    if not here:
        return []
    spread = found.regions.loc[found.regions["n"] > 1, "range"]
    here["nee.range"] = float(spread.mean())
    if found.anova is not None:
        here["nee.anova_f"] = found.anova.f
    rows = [
        {
            "quantity": f"{n.quantity}, {n.region}",
            "unit": n.unit,
            "published": n.value,
            "here": here[n.id],
            "source": n.paper,
            "note": n.note,
        }
        for n in published_numbers()
        if n.id in here
    ]
    return json_rows(pd.DataFrame(rows))


def require_once(rows: pd.DataFrame) -> None:
    """ConfigError for a system that stands in an approach by itself and in a package."""
    models = rows.loc[rows["mean"].notna(), ["approach", "model"]].drop_duplicates()
    last = models["model"].str.rpartition("/")[2]
    twice = models[models.assign(last=last).duplicated(["approach", "last"], keep=False)]
    if len(twice):
        one = twice.iloc[0]
        raise ConfigError(
            f"approach {one['approach']}: {' and '.join(twice['model'])} are one system by their names. Leave one out "
            "(`leave_out` of the inversion), or rename it."
        )


def _without_value(rows: pd.DataFrame) -> list[str]:
    """Models that have no value in some region or in any."""
    out = []
    for (approach, model), mine in rows.groupby(["approach", "model"], sort=False):
        held = mine.groupby("region", sort=False).agg(mean=("mean", "count"), coverage=("coverage", "max"))
        none = held[held["mean"] == 0]
        if len(none):
            where = "any region" if len(none) == len(held) else ", ".join(none.index)
            most = none["coverage"].max()
            told = "" if pd.isna(most) else f"; data cover at most {100 * most:.0f} % of it"
            out.append(f"{approach}, {model}: no value in {where}{told}")
    return out


def _test(test: Anova | RankTest | None) -> dict[str, Any] | None:
    return None if test is None else json_rows(pd.DataFrame([asdict(test)]))[0]


def _long(found: Synthesis) -> pd.DataFrame:
    tables = {
        "mean": found.mean,
        "sd_spatial": found.sd,
        "models": found.n_models,
        "years": found.n_years,
        "coverage": found.coverage,
    }
    return pd.DataFrame(
        {
            "region": region,
            "approach": approach,
            **{k: table.loc[region, approach] for k, table in tables.items()},
        }
        for region in found.mean.index
        for approach in found.mean.columns
    )


def _by_approach(
    maps: Mapping[Source, Path], variable: str, open_files: ExitStack
) -> dict[str, dict[str, xr.Dataset]]:
    """By approach, datasets by name; those of one group as their mean."""
    held: dict[str, dict[str, dict[str, xr.Dataset]]] = {}
    for source, path in maps.items():
        ds = open_files.enter_context(open_flux(path))
        groups = held.setdefault(source.approach, {})
        groups.setdefault(source.group or source.model, {})[source.model] = ds
    out: dict[str, dict[str, xr.Dataset]] = {}
    for approach, groups in held.items():
        for name, models in groups.items():
            one = next(iter(models.values())) if len(models) == 1 else None
            found = one if one is not None else _mean_of(models, variable, coarsest_grid({name: models}))
            out.setdefault(approach, {})[name] = found
    return out


def _agreement_rows(path: Path, weights: Weights) -> list[dict[str, Any]]:
    with xr.open_dataset(path, engine="netcdf4") as ds:
        held = ds.load()
    return json_rows(agreement_by_region(held, weights(grid_of(held["share"]))))


def _skill(
    parts: Parts, settings: CompareSettings, seed: int, notes: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row a model with means over towers, and the ranking over the towers that all have."""
    pairs: dict[str, Pairs] = {}
    rows = []
    for source, part in parts.items():
        for label, held in part["skill"].items():
            sites = pd.DataFrame(held["sites"])
            whole = sites[sites["observed"].notna()]
            rows.append(
                {
                    "approach": source.approach,
                    "model": label,
                    "n_sites": len(whole),
                    "without": len(sites) - len(whole),
                    **{k: float(whole[k].astype(float).mean()) for k in _MEANS if k in whole},
                    **{f"spatial_{k}": v for k, v in held["spatial"].items()},
                }
            )
            pairs[f"{source.approach}: {label}"] = Pairs(
                pd.DataFrame(held["months"]), pd.DataFrame(held["places"])
            )
    ranks: list[dict[str, Any]] = []
    if len(pairs) > 1:
        try:
            skills = {
                name: site_skill(one, peak=PEAK[settings.variable])
                for name, one in _on_common_months(pairs).items()
            }
            ranks = json_rows(rank_models(skills, n_resamples=settings.draws, seed=seed))
        except CoverageError as err:
            notes.append(f"no ranking: {err}")
    return json_rows(pd.DataFrame(rows)) if rows else [], ranks


def _on_common_months(pairs: Mapping[str, Pairs]) -> dict[str, Pairs]:
    """The pairs of each model in the months of sites that all models have."""
    keys = ["site_id", "year", "month"]
    common = next(iter(pairs.values())).rows[keys]
    for one in pairs.values():
        common = common.merge(one.rows[keys], on=keys)
    return {name: Pairs(one.rows.merge(common, on=keys), one.sites) for name, one in pairs.items()}


def _covered(parts: Parts) -> list[dict[str, Any]]:
    """By approach and region, means over models of the shares covered, and what the flux holds."""
    rows = pd.DataFrame([row for part in parts.values() for row in part["coverage"]])
    if rows.empty:
        return []
    # a member of a package that has no data in the period is in no mean either
    rows = rows[rows.groupby(["approach", "model"])["area_share"].transform("max") > 0.0]
    shares = ["area_share", "year_share", "month_share"]
    means = rows.groupby(["approach", "region"], sort=False)[shares].mean()
    held = rows.groupby(["approach", "region"], sort=False)[list(COMPONENTS)].agg(_one_answer)
    return json_rows(means.join(held).reset_index())


def _one_answer(answers: pd.Series) -> str:
    return str(answers.iloc[0]) if answers.nunique() == 1 else "differs"


def _differences(
    maps: Mapping[Source, Path],
    settings: CompareSettings,
    weights: Weights,
    matrix: pd.DataFrame,
    notes: list[str],
) -> list[dict[str, Any]]:
    """For each pair of gridded approaches, how much of their difference comes from cells and years not in common.

    What the matrix and the common grid differ by is `by_grid`: all parts add up to the difference of the matrix.
    """
    with ExitStack() as open_files:
        approaches = _by_approach(maps, settings.variable, open_files)
        if len(approaches) < 2:
            return []
        grid = coarsest_grid(approaches)
        annual = {
            name: [
                on_coarser(_only_whole(annual_sums(single, settings.variable)), grid, what=label).load()
                for model, ds in models.items()
                for label, single in single_models(ds, settings.variable, model)
                if bool(single[settings.variable].notnull().any())
            ]
            for name, models in approaches.items()
        }
    rows, without = explain_differences({name: held for name, held in annual.items() if held}, weights, grid)
    notes += without
    if rows.empty:
        return []
    values = matrix.to_dict()
    printed = np.array(
        [
            values[a][region] - values[b][region]
            for a, b, region in zip(rows["first"], rows["second"], rows["region"], strict=True)
        ],
        np.float64,
    )
    return json_rows(rows.assign(difference=printed, by_grid=printed - rows["own"].to_numpy(np.float64)))


def _only_whole(sums: xr.DataArray) -> xr.DataArray:
    """Whole years that have any data: those of other models of the file stand in it as missing."""
    held = [y for y in chosen_years(sums) if bool(sums.sel(year=y).notnull().any())]
    return sums.sel(year=held).drop_vars("complete", errors="ignore")


def _mean_of(models: Mapping[str, xr.Dataset], variable: str, grid: Grid) -> xr.Dataset:
    """Mean over the datasets of a group in each year that one of them has, on a common grid."""
    moved = [on_coarser(ds[variable].mean("model"), grid, what=name) for name, ds in models.items()]
    joined = xr.concat(moved, dim="model", join="outer", combine_attrs="override")
    mean = joined.mean("model").assign_attrs(flux_var(variable).attributes).load()
    first = next(iter(models.values()))
    made = make_flux_dataset(
        {variable: mean.rename(variable)},
        approach=str(first.attrs.get("approach", "")),
        source="mean of a group",
        coverage=mean.notnull().mean(list(grid.dims)),
        time_bounds=year_bounds(mean["time"].dt.year.values),
    )
    return made.assign_attrs({k: v for k, v in first.attrs.items() if k == "fire_removed"})
