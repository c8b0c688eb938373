"""How sure is an annual NEE budget? `python -m benchmarks.upscaling_error_budget`, two minutes on one core.

The error covariance fitted to held-out residuals of the v1 table (rows with a matched position and date) and of
ABCflux v2 (four climate predictors), leaving out sites and, since a site's neighbours know a part of its error,
clusters of sites within 200 km; and what it makes of the annual budget of the land north of 49 N by sectors on 100 km
cells. Standard errors are those of a jackknife over ten groups of sites.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.upscaling import v1_table
from benchmarks.upscaling_coverage import climate_table
from talik.regions import EqualAreaGrid, sectors
from talik.upscaling.design import site_positions
from talik.upscaling.distances import site_clusters
from talik.upscaling.error_budget import ErrorGrid, budget_error, error_grid
from talik.upscaling.error_fit import ErrorFit, fit_error_model, largest_share, residuals_of
from talik.upscaling.error_model import ErrorModel
from talik.upscaling.evaluate import HeldOut
from talik.upscaling.fast_loso import fast_leave_one_site_out
from talik.upscaling.forest import Forest
from talik.upscaling.training import Training

YEARS = (2001, 2020)
PUBLISHED_SD = 140.0
"""Virkkala et al. (2025): row bootstrap of the 20-year mean NEE of 20.7 million km2, Tg C yr-1."""
GROUPS = 10
WINDOW = {"x": (-5.4e6, 5.4e6), "y": (-5.4e6, 5.4e6)}


def residuals(training: Training, forest: Forest, *, cluster_km: float) -> pd.DataFrame:
    """Errors at sites (or clusters of sites) that 80 trees have not seen."""
    data = training.data
    if cluster_km:
        labels = site_clusters(*site_positions(training), cluster_km)
        data = replace(data, groups=labels[data.groups])
    mean = fast_leave_one_site_out(forest, data, 448, parts=20, trees=80)
    rows = np.arange(len(data))
    return residuals_of(training, HeldOut(rows, data.groups, mean, mean[:, None]))


def correlogram(fit: ErrorFit) -> str:
    """Mean product of two errors, in sd**2, by distance: same month, and all later months of the same season."""
    table, lines = fit.table[fit.table.used & fit.table.same_season & ~fit.table.same_row], []
    for (low, high), rows in table.groupby(["distance_low", "distance_high"]):
        now, later = rows[rows.lag_low == 0], rows[rows.lag_low > 0]
        told = f"  {'one place' if high == 0 else f'{low:g}-{high:g} km':>13}"
        for name, some in (("same month", now), ("other", later)):
            if len(some):
                c, f, v = (
                    np.average(some[k], weights=some.weight) for k in ("covariance", "fitted", "semivariance")
                )
                told += f" | {name}: covariance {c:+.3f} (fitted {f:+.3f}), semivariance {v:.2f}, "
                told += f"{some.n_pairs.sum()} pairs, {some.n_effective.mean():.0f} effective"
        lines.append(told)
    return "\n".join(lines)


def land_sd(model: ErrorModel, cells: ErrorGrid, pixel_m: float = 1000.0) -> tuple[float, float]:
    """SD of the mean of the years and of one year, Tg C yr-1, of all sectors together."""
    error = budget_error(model, cells, YEARS, pixel_m=pixel_m)
    return float(np.sqrt(error.mean().sum())), float(np.sqrt(error.year().sum()))


def jackknife(table: pd.DataFrame, cells: ErrorGrid) -> tuple[float, float]:
    """Standard errors of `land_sd` of the fitted model."""
    codes, _ = pd.factorize(table.site_id, sort=True)
    group = np.random.default_rng(448).permutation(codes.max() + 1)[codes] % GROUPS
    found = np.array([land_sd(fit_error_model(table[group != g]).model, cells) for g in range(GROUPS)])
    spread = (GROUPS - 1) / GROUPS * ((found - found.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.sqrt(spread[0])), float(np.sqrt(spread[1]))


def describe(fit: ErrorFit) -> None:
    """Shares, ranges, seasons and correlogram."""
    model = fit.model
    print("  " + ", ".join(f"{k} {v:.3f}" for k, v in model.shares.items() if v))
    for name, value, (low, high) in (
        ("L, km", model.range_km, fit.range_km_interval),
        ("T, months", model.range_months, fit.range_months_interval),
    ):
        print(f"  {name}: {value:.4g}, {low:.3g} to {high:.3g} fit nearly as well")
    for flag in fit.flags:
        print(f"  flag: {flag}")
    for s in fit.seasons.itertuples():
        print(f"  months {s.months}: sd {s.sd:.1f}, bias {s.bias:+.2f}")
    print(correlogram(fit))


def budgets(fit: ErrorFit, table: pd.DataFrame, cells: ErrorGrid, half: ErrorGrid) -> None:
    """SD of budgets of sectors and of all land, by part, and how well it is known."""
    error = budget_error(fit.model, cells, YEARS).with_sums({"land": cells.regions})
    bounds, kinds = error.bounds(), (error.mean(), error.year(), error.trend())
    for k, region in enumerate(error.regions):
        mean, year, trend = (np.sqrt(c[k, k]) for c in kinds)
        print(
            f"  {region}: {error.area[k] / 1e12:.2f} million km2, SD of the mean {mean:.1f}, of a year {year:.1f} Tg C "
            f"yr-1, of the trend {trend:.2f} per year; wrong bounds of a year {bounds['independent'][k]:.2f} and "
            f"{bounds['fully dependent'][k]:.0f}"
        )
    by_part = error.by_part(np.full(len(error.years), 1 / len(error.years)))
    told = ", ".join(f"{part} {np.sqrt(c[-1, -1]):.2f}" for part, c in by_part.items())
    print(f"  SD of the mean, land: {told}")
    se = jackknife(table, cells)
    print(f"  jackknife standard errors of the SD: of the mean {se[0]:.0f}, of a year {se[1]:.0f}")
    fine, large = land_sd(fit.model, half)[0], land_sd(fit.model, cells, 8e3)[0]
    print(f"  with 50 km cells: {fine:.2f}; pixels of 8 km: {large:.2f}")
    for range_km in (300.0, 1000.0, 3000.0):
        share, most = largest_share(fit, "region", range_km)
        mean, year = land_sd(most, cells)
        print(
            f"  largest persistent regional share with L {range_km:g} km: {share:.3f}, SD of the mean {mean:.0f}, "
            f"of a year {year:.0f}"
        )


def main() -> None:
    cells = error_grid(sectors(EqualAreaGrid.epsg6931(100e3, **WINDOW)))
    half = error_grid(sectors(EqualAreaGrid.epsg6931(50e3, **WINDOW)), coarse_m=50e3)
    print(
        f"{len(cells.lat)} cells of 100 km, {cells.area.sum() / 1e12:.2f} million km2 of land north of 49 N"
    )
    tables = {"v1": (v1_table("nee", located=True), Forest(mtry=6)), "v2": (climate_table("nee"), Forest())}
    for name, (training, forest) in tables.items():
        for cluster_km in (0.0, 200.0):
            table = residuals(training, forest, cluster_km=cluster_km)
            fit = fit_error_model(table)
            out = f"clusters of {cluster_km:g} km" if cluster_km else "sites"
            print(
                f"\n{name}, {out} left out: {fit.n_rows} rows, {fit.n_sites} sites, bias {fit.bias:+.2f} g m-2 month-1"
            )
            describe(fit)
            budgets(fit, table, cells, half)
    print(f"\npublished bootstrap SD of the mean: {PUBLISHED_SD:g} Tg C yr-1 (20.7 million km2)")


if __name__ == "__main__":
    main()
