"""Real numbers of the eight regions beside the published ones, and what the comparison of a large ensemble costs.

`python -m benchmarks.regional_comparison [FIGURES]` with the test data (TALIK_SHARED) prints tables: areas of the
regions with a climate map in place of biomes; annual NEE of sites (ABCflux v2, April 2024) and of an upscaling
(ABCflux v1, 8 km), both beside the medians of Treat et al. (2024) as `inventory.md`, section 10, has them; wetland CH4
of BAWLD-CH4 and of ABCflux v2; skill of two published models at held-out sites; time and memory of region means.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from talik.compare import (
    Pairs,
    coefficients_of_variation,
    combine,
    rank_models,
    region_means,
    site_region_means,
    site_skill,
    spatial_skill,
)
from talik.compare.figures import matrix, region_panels, taylor_diagram
from talik.compare.skill import USED
from talik.flux import make_flux_dataset, mass_ratio
from talik.regions import EIGHT, LatLonGrid, eight_regions, grid_of, site_regions
from talik.report.style import write_figures
from talik.sources.site_table import read_sites
from talik.sources.wetland_ch4 import read_wetland_ch4

YEARS = (2002, 2014)
UNITS = "g m-2 month-1"
PUBLISHED = {
    "Western Canada": -52.0,
    "Western Siberia": -41.0,
    "Alaska": -6.0,
    "Siberian tundra": -5.0,
    "Canadian tundra": -9.0,
}
"""Medians over five approaches, g C m-2 year-1; that of Canadian tundra is inferred in the specification."""
FOLDER_NAMES = {
    "alaska": "Alaska",
    "canada_tundra": "Canadian tundra",
    "west_canada": "Western Canada",
    "east_canada": "Eastern Canada",
    "fenno": "Western Eurasia",
    "west_siberia": "Western Siberia",
    "east_siberia": "Eastern Siberia",
    "siberia_tundra": "Siberian tundra",
}
"""Regions of the upscaled budgets; their outlines are not documented, and `fenno` is taken for Western Eurasia."""
BIOMES = {6.0: "Boreal", 11.0: "Tundra"}
"""Biome codes of BAWLD cells (Dinerstein et al. 2017)."""


def sites(data: Path) -> pd.DataFrame:
    """Site-months of towers and chambers with their region; diffusion is of water and left out."""
    rows = read_sites(data / "abcflux-v2-apr2024" / "site_months.parquet").rows
    rows = rows[rows["flux_method"] != "Diffusion"]
    return rows.join(site_regions(rows))


def upscaled(data: Path) -> pd.DataFrame:
    """Annual NEE per area of the upscaled regions as rows of `region_means`.

    The budgets are Tg C; the area of a region is the mean budget of a decade over the sum of its monthly means.
    """
    folder = data / "abcflux-v1-budgets"
    budgets = pd.read_csv(folder / "annual_budgets_1990-2016.csv")
    months = pd.read_csv(folder / "nee_monthly_mean_bins.csv")
    rows = []
    for name, region in FOLDER_NAMES.items():
        nee = budgets[(budgets["variable"] == "NEE") & (budgets["region"] == name)].set_index("year")
        tg = nee["budget_TgC_yr"]
        decades = months[months["region"] == name].groupby("decade_start")["nee_gC_m2_month"].sum()
        areas = [tg[(tg.index >= d) & (tg.index < d + 10)].mean() / g for d, g in decades.items()]
        assert np.ptp(areas) < 0.03 * np.mean(areas), (name, areas)
        for year in range(YEARS[0], YEARS[1] + 1):
            rows.append(("upscaling", "forest v1", year, region, tg[year] / np.mean(areas), np.mean(areas)))
    out = pd.DataFrame(rows, columns=["approach", "model", "year", "region", "mean", "area_m2"])
    return out.assign(area_m2=out["area_m2"] * 1e12, sd=np.nan, coverage=1.0)


def areas(data: Path) -> pd.DataFrame:
    """Mkm2 of the regions and of unassigned land: ET climate for tundra, Dfc, Dfd, Dsc, Dsd, Dwc, Dwd for boreal."""
    (path,) = (data / "koeppen-05deg").glob("*.nc")
    classes = xr.open_dataset(path)["koeppen"]
    number = dict(zip(classes.attrs["flag_meanings"].split(), classes.attrs["flag_values"], strict=True))
    found = classes.where(classes > 0).load()
    tundra = (found == number["ET"]).where(found.notnull()) * 1.0
    boreal = found.isin([number[c] for c in ("Dfc", "Dfd", "Dsc", "Dsd", "Dwc", "Dwd")]) * 1.0
    grid = grid_of(found)
    weights = eight_regions(grid, tundra, boreal, with_unassigned=True)
    mkm2 = weights["region_area"].to_series() / 1e12
    print("all eight:", round(float(mkm2[list(EIGHT)].sum()), 2), "Mkm2")
    return mkm2.to_frame("climate map").assign(
        upscaling=upscaled(data).groupby("region")["area_m2"].first() / 1e12
    )


def towers(data: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Ranking and skill of two support vector machines (1 km, 20 km predictors) at sites left out of their training."""
    tables = {
        name: pd.read_csv(data / "abcflux-v1-ml" / f"nee_{name}.csv.gz").dropna(subset=["year", "month"])
        for name in ("1km", "20km")
    }
    keys = ["site", "year", "month"]
    both = tables["1km"][keys].merge(tables["20km"][keys])
    skills = {}
    for name, table in tables.items():
        rows = both.merge(table, on=keys).rename(
            columns={"site": "site_id", "nee_obs": "observed", "svm_loso_pred": "modelled"}
        )
        rows = rows.astype({"site_id": str, "year": np.int64, "month": np.int64})
        listed = pd.DataFrame({"site_id": sorted(set(rows["site_id"])), "status": USED[0]})
        skills[name] = site_skill(Pairs(rows, listed))
    print(
        f"{len(both)} months, {both['site'].nunique()} sites;",
        {n: spatial_skill(s) for n, s in skills.items()},
    )
    columns = [
        "bias",
        "rmse",
        "r_months",
        "cycle_r",
        "amplitude_ratio",
        "phase_shift",
        "iav_ratio",
        "r_years",
    ]
    print(pd.DataFrame({n: s[columns].median() for n, s in skills.items()}).round(2).to_string())
    print(
        "sites with a phase shift of 2 months or more:",
        {n: int((s["phase_shift"].abs() >= 2).sum()) for n, s in skills.items()},
    )
    return rank_models(skills), skills


def nee(data: Path, figures: Path | None = None) -> pd.DataFrame:
    """Sites, upscaling and published median by region."""
    table = sites(data)
    insitu = site_region_means(table, units=UNITS, years=YEARS, approach="in situ")
    whole = site_region_means(table, units=UNITS).set_index("region")
    rows = upscaled(data)
    found = combine(pd.concat([insitu, rows]), regions=EIGHT)
    if figures is not None:
        write_figures(
            [("intercomparison-regions", region_panels(found)), ("intercomparison-matrix", matrix(found))],
            figures,
        )
    print("ANOVA of sites and upscaling:", found.anova, found.kruskal, sep="\n")
    print("mean range of the two:", round(float(found.regions["range"].mean()), 1))
    by_region = insitu.set_index("region").reindex(EIGHT)
    print("sites in no region:", table.groupby("why_none")["site_id"].nunique().to_dict())
    return pd.DataFrame(
        {
            "sites, mean": by_region["mean"],
            "SD": by_region["sd"],
            "median": by_region["median"],
            "sites": by_region["n_sites"],
            "site-years": by_region["n_site_years"],
            "all years, mean": whole["mean"].reindex(EIGHT),
            "all years, sites": whole["n_sites"].reindex(EIGHT),
            "upscaling": found.mean["upscaling"],
            "Mkm2": rows.groupby("region")["area_m2"].first().reindex(EIGHT) / 1e12,
            "published": pd.Series(PUBLISHED).reindex(EIGHT),
        }
    )


def methane(data: Path) -> pd.DataFrame:
    """Annual CH4 of wetland sites by region, g CH4 m-2 year-1, and growing-season medians of two syntheses."""
    path = data / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz"
    chambers = read_wetland_ch4(path).table
    biome = pd.read_csv(path, usecols=["BIOME"])["BIOME"].map(BIOMES)
    chambers = chambers.assign(biome=biome.to_numpy())
    chambers = chambers.join(site_regions(chambers))
    print("BAWLD-CH4 rows in no region:", chambers["why_none"].value_counts().to_dict())
    annual = chambers.dropna(subset=["ch4_annual"]).groupby(["region", "site_id"])["ch4_annual"].mean()
    season = chambers.dropna(subset=["ch4_mean"]).groupby(["dataset", "region", "site_id"])["ch4_mean"].mean()
    towers = site_region_means(sites(data), value="ch4", units=UNITS).set_index("region")
    gas = mass_ratio("C", "CH4")
    medians = season.groupby(["dataset", "region"]).median().unstack("dataset").reindex(EIGHT)
    both = pd.DataFrame(
        {
            "BAWLD-CH4": annual.groupby("region").median(),
            "ABCflux v2": towers["median"] * gas,
        }
    ).reindex(EIGHT)
    cv = coefficients_of_variation(both)
    print("mean CV of two annual data sets:", round(cv.attrs["mean_cv"], 2))
    print("mean CV of Olefeldt and Kuhn:", round(coefficients_of_variation(medians).attrs["mean_cv"], 2))
    return pd.DataFrame(
        {
            "BAWLD-CH4, annual": both["BAWLD-CH4"],
            "sites": annual.groupby("region").size().reindex(EIGHT),
            "ABCflux v2, annual": both["ABCflux v2"],
            "its sites": towers["n_sites"].reindex(EIGHT),
            "CV": cv["cv"],
            **{f"{c}, mg m-2 d-1": medians[c] for c in medians.columns},
        }
    )


def cost(models: int = 10, years: int = 20, cell: float = 0.5) -> None:
    """Time and memory of region means of monthly models that are made month by month when read."""
    grid = LatLonGrid.regular(cell, lat=(40, 90))
    when = xr.date_range("2000-01-01", periods=12 * years, freq="MS")
    tundra = grid.wrap(np.broadcast_to((grid.y > 66.0)[:, None] * 1.0, grid.shape).copy())

    def model(seed: int) -> xr.Dataset:
        random = da.random.default_rng(seed).normal(
            -6e-10, 1e-9, (when.size, *grid.shape), chunks=(12, *grid.shape)
        )
        values = xr.DataArray(random, dims=("time", *grid.dims), coords={"time": when, **grid.coords()})
        return make_flux_dataset(
            {"nee": values.assign_attrs(units="kg m-2 s-1")}, approach="process", source="made", coverage=1.0
        )

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    weights = eight_regions(grid, tundra)
    made = time.perf_counter() - start
    start = time.perf_counter()
    rows = region_means({f"m{k}": lambda k=k: model(k) for k in range(models)}, weights, approach="made")
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = models * when.size * grid.size * 8 / 2**30
    print(
        f"{models} models, {cell:g} degree, {years} years monthly ({size:.1f} GiB): weights {made:.1f} s, region means "
        f"{seconds:.1f} s, {len(rows)} rows, peak {peak:.0f} MiB ({before:.0f} before)"
    )


def main() -> None:
    """Print all tables."""
    data = Path(os.environ["TALIK_SHARED"]) / "data"
    figures = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print(areas(data).round(2).to_string(), "\n")
    print(nee(data, figures).round(1).to_string(), "\n")
    ranks, skills = towers(data)
    print(ranks.round(3).T.to_string(), "\n")
    if figures is not None:
        points = {name: spatial_skill(s) for name, s in skills.items()}
        write_figures([("intercomparison-taylor", taylor_diagram(points))], figures)
    print(methane(data).round(2).to_string(), "\n")
    cost()


if __name__ == "__main__":
    main()
