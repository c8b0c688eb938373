"""Models against towers: the cell of each site, bias, season, interannual course, scores and how sure their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree

from talik.compare.aggregate import months_of
from talik.compare.products import centres
from talik.compare.regional import require_without_fire
from talik.compare.scores import (
    MONTHS,
    WEIGHTS,
    Array,
    Taylor,
    bias_score,
    departure,
    iav_score,
    mean_cycle,
    overall,
    phase_score,
    phase_shift,
    rmse_score,
    spatial_score,
    taylor,
)
from talik.errors import CoverageError, FluxError, InputError, UnitsError
from talik.products import step_amounts
from talik.products.insitu import MONTHLY
from talik.regions import conform, grid_of
from talik.regions.sphere import arc_km, unit_vectors
from talik.rng import named_rng

MAX_KM = 100.0
"""A site without data in its own cell takes the nearest cell with data up to this far away."""
MIN_YEARS = 3
"""Whole years of a site for which its interannual course is looked at."""
USED = ("cell of the site", "nearest cell with data")
NOWHERE = "no position"
"""Status of sites that have a cell, and of those that can have none."""
SITE_SCORES = ("bias", "rmse", "phase", "iav")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Months of sites and model: `rows` (site_id, year, month, observed, modelled; g m-2 month-1), and every site.

    `sites` : site_id, lat, lon, cell_lat, cell_lon, distance_km (to the cell centre), n_months (observed),
    n_matched, and ``status``: one of `USED`, or why a site has no pairs.
    """

    rows: pd.DataFrame
    sites: pd.DataFrame


def pair_months(
    ds: xr.Dataset,
    table: pd.DataFrame,
    *,
    variable: str = "nee",
    value: str | None = None,
    units: str,
    site: str = "site_id",
    max_km: float = MAX_KM,
) -> Pairs:
    """The months that a gridded model and the sites of a table both have.

    ds : monthly flux dataset (time and space only). table : site-months as `talik.sources.site_table.read_sites` gives,
        with `site`, lat, lon, year, month and `value` (by default named as `variable`), in the sign of the flux table.
    units : of `value`, 'g m-2 month-1' only.
    max_km : see `MAX_KM`; 0 takes the cell of the site or nothing. The cell of a site is the one whose centre is
        nearest; a cell has data if it has in every step.

    No site is dropped unseen: `Pairs.sites` has them all. CoverageError: no pair at all. FluxError, UnitsError,
    InputError: the dataset or the table does not fit.
    """
    value = variable if value is None else value
    if units != MONTHLY:
        raise UnitsError(f"{value!r}: expected units {MONTHLY!r}; found {units!r}. Convert the table first.")
    wanted = [site, "lat", "lon", "year", "month", value]
    if lacking := [c for c in wanted if c not in table.columns]:
        raise InputError(
            f"pair_months: columns {', '.join(lacking)} missing; found {', '.join(map(str, table.columns[:12]))}."
        )
    require_without_fire(ds, variable, str(ds.attrs.get("source", "model")))
    grid = grid_of(ds)
    if extra := [str(d) for d in ds[variable].dims if d not in ("time", *grid.dims)]:
        raise FluxError(f"pair_months: select one of {', '.join(extra)} first; expected time and space only.")
    rows = table[wanted].dropna(subset=[site, "year", "month", value])
    rows = rows.set_axis(["site_id", "lat", "lon", "year", "month", "observed"], axis=1)
    rows = rows.astype({"year": np.int64, "month": np.int64})
    if rows.duplicated(["site_id", "year", "month"]).any():
        raise InputError(
            "pair_months: a site has two rows in one month. Keep one measurement a site and month."
        )
    sites = rows.groupby("site_id", sort=True).agg(
        lat=("lat", "first"), lon=("lon", "first"), n_months=("observed", "size")
    )
    placed = conform(ds, grid)
    valid = np.asarray(placed[variable].notnull().all("time").transpose(*grid.dims).to_numpy())
    somewhere = sites[sites[["lat", "lon"]].notna().all(axis=1)]
    cells = nearest_cells(valid, *centres(grid), somewhere["lat"], somewhere["lon"], max_km=max_km)
    cells.index = somewhere.index
    sites = sites.join(cells)
    sites["status"] = sites["status"].fillna(NOWHERE)
    used = sites[sites["status"].isin(USED)]
    at = {
        d: xr.DataArray(used[c].to_numpy(np.int64), dims="site")
        for d, c in zip(grid.dims, ("_row", "_column"), strict=True)
    }
    months = months_of(placed)
    amounts = step_amounts(placed.isel(at), variable).transpose("time", "site").to_numpy()
    dates = np.repeat(np.array(months, np.int64), len(used), axis=0)
    long = pd.DataFrame({"site_id": np.tile(used.index.to_numpy(), len(months)), "modelled": amounts.ravel()})
    long = long.assign(year=dates[:, 0], month=dates[:, 1])
    out = rows.drop(columns=["lat", "lon"]).merge(long, on=["site_id", "year", "month"], how="inner")
    if out.empty:
        raise CoverageError(
            f"pair_months: no month of {len(sites)} sites in the model ({_month(months[0])}..{_month(months[-1])}); "
            f"{len(used)} sites have a cell with data."
        )
    matched = out.groupby("site_id").size().reindex(sites.index).fillna(0).astype(int)
    sites = sites.assign(n_matched=matched).drop(columns=["_row", "_column"])
    sites.loc[sites["status"].isin(USED) & (sites["n_matched"] == 0), "status"] = "no month in the model"
    return Pairs(
        out.sort_values(["site_id", "year", "month"], ignore_index=True), sites.reset_index(names="site_id")
    )


def _month(of: tuple[int, int]) -> str:
    return f"{of[0]}-{of[1]:02d}"


def nearest_cells(
    valid: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    cell_lat: Array,
    cell_lon: Array,
    lat: pd.Series,
    lon: pd.Series,
    *,
    max_km: float = MAX_KM,
) -> pd.DataFrame:
    """Row, column, centre and distance of the cell of each point, (n,) each, with its ``status``.

    valid, cell_lat, cell_lon : (rows, columns). Where the nearest cell has no data, the nearest with data within
    `max_km` is taken; its status says so. Without one, row and column are -1, the distance is to the nearest with data.
    """
    centre = unit_vectors(cell_lat.ravel(), cell_lon.ravel())
    points = unit_vectors(lat.to_numpy(), lon.to_numpy())
    with_data = np.flatnonzero(valid.ravel())
    _, own = cKDTree(centre).query(points)
    if with_data.size:
        chord, k = cKDTree(centre[with_data]).query(points)
        distance, other = arc_km(chord), with_data[k]
    else:
        distance, other = np.full(len(lat), np.inf), np.full(len(lat), -1)
    inside = valid.ravel()[own]
    near = distance <= max_km
    cell = np.where(inside, own, np.where(near, other, -1))
    status = np.where(inside, USED[0], np.where(near, USED[1], f"no data within {max_km:g} km"))
    shown = np.where(cell >= 0, cell, 0)
    row, column = np.divmod(shown, valid.shape[1])
    return pd.DataFrame(
        {
            "_row": np.where(cell >= 0, row, -1),
            "_column": np.where(cell >= 0, column, -1),
            "cell_lat": np.where(cell >= 0, cell_lat.ravel()[shown], np.nan),
            "cell_lon": np.where(cell >= 0, cell_lon.ravel()[shown], np.nan),
            "distance_km": distance,
            "status": status,
        }
    )


def site_skill(pairs: Pairs, *, peak: str = "min", min_years: int = MIN_YEARS) -> pd.DataFrame:
    """Skill at each site of `pairs`, one row a site; sites without pairs or a whole cycle keep a row of NaN.

    ``observed``, ``modelled``, ``bias`` : annual sums of the mean cycles, g m-2 year-1; ``rmse`` : of months,
    g m-2 month-1; ``r_months``. ``cycle_r``, ``amplitude_ratio`` (model over observed, largest less smallest month),
    ``phase_shift`` (months, later is positive) of the mean cycles. ``iav_ratio`` of departures from the mean cycle and
    ``r_years`` of annual sums, with at least `min_years` whole years. ``bias_score``, ``rmse_score``, ``phase_score``,
    ``iav_score`` : see `talik.compare.scores`. All but ``rmse`` and ``r_months`` need all twelve calendar months.

    peak : which extreme of the cycle is compared; ``"min"`` is the peak of uptake of NEE, ``"max"`` suits GPP and CH4.
    """
    grouped = dict(iter(pairs.rows.groupby("site_id")))
    rows = [_one_site(grouped[s], peak, min_years) if s in grouped else {} for s in pairs.sites["site_id"]]
    found = pd.DataFrame(rows, columns=_COLUMNS, index=pairs.sites.index)
    whole = found["observed"].notna()
    status = pairs.sites["status"].where(
        whole | ~pairs.sites["status"].isin(USED), "no whole seasonal cycle in common"
    )
    return pd.concat([pairs.sites.assign(status=status), found], axis=1)


_COLUMNS = [
    "n_years",
    "observed",
    "modelled",
    "bias",
    "rmse",
    "r_months",
    "cycle_r",
    "amplitude_ratio",
    "phase_shift",
    "iav_ratio",
    "r_years",
    *(f"{s}_score" for s in SITE_SCORES),
]


def _one_site(rows: pd.DataFrame, peak: str, min_years: int) -> dict[str, float]:
    o, m = rows["observed"].to_numpy(float), rows["modelled"].to_numpy(float)
    month = rows["month"].to_numpy(np.int64)
    out = {"rmse": float(np.sqrt(((m - o) ** 2).mean())), "r_months": taylor(o, m).r}
    size = rows.groupby("year")["month"].transform("size")
    years = rows[size == MONTHS].groupby("year")[["observed", "modelled"]].sum()
    out["n_years"] = len(years)
    cycles = mean_cycle(o, month), mean_cycle(m, month)
    if np.isnan(cycles[0]).any():
        return out
    cycle = taylor(*cycles)
    shift = phase_shift(*cycles, peak=peak)
    out |= {
        "observed": float(cycles[0].sum()),
        "modelled": float(cycles[1].sum()),
        "bias": float(cycles[1].sum() - cycles[0].sum()),
        "cycle_r": cycle.r,
        "amplitude_ratio": float(np.ptp(cycles[1]) / np.ptp(cycles[0])) if np.ptp(cycles[0]) else np.nan,
        "phase_shift": shift,
        "bias_score": bias_score(o, m),
        "rmse_score": rmse_score(o, m),
        "phase_score": phase_score(shift),
    }
    if len(years) >= min_years:
        v = departure(o, month), departure(m, month)
        out |= {
            "iav_ratio": v[1] / v[0] if v[0] else np.nan,
            "r_years": taylor(*(years[c].to_numpy(float) for c in ("observed", "modelled"))).r,
            "iav_score": iav_score(*v),
        }
    return out


def spatial_skill(skill: pd.DataFrame) -> Taylor:
    """Taylor statistics over the sites of `site_skill`, of the annual sums of the mean cycles."""
    return taylor(skill["observed"].to_numpy(float), skill["modelled"].to_numpy(float))


def rank_models(
    skills: Mapping[str, pd.DataFrame],
    *,
    weights: Mapping[str, float] = WEIGHTS,
    n_resamples: int = 2000,
    level: float = 0.9,
    seed: int = 0,
) -> pd.DataFrame:
    """Models by overall score over the sites that all have, best first, with how sure the order is.

    skills : `site_skill` by model. Site scores are averaged over the sites; the spatial score is that of the sites'
    annual sums; the overall score is the weighted mean of the scores that all models have.
    Sites are resampled with replacement: ``low`` and ``high`` are the limits at `level`, ``first`` the share of
    resamples in which the model is best (equal ones share it), ``beats_next`` that in which it is better than the one
    below it.

    Columns: ``model``, the scores ``bias``, ``rmse``, ``phase``, ``iav``, ``spatial``, ``overall``, then those four,
    ``n_sites`` and ``n_left_out`` (sites of the model that are not in all). CoverageError: fewer than 3 common sites.
    """
    if not skills:
        raise InputError("rank_models: expected at least one model; found none.")
    whole = {n: s[s["observed"].notna()].set_index("site_id").sort_index() for n, s in skills.items()}
    common = sorted(set.intersection(*(set(s.index) for s in whole.values())))
    if len(common) < 3:
        raise CoverageError(
            f"rank_models: {len(common)} sites with a whole seasonal cycle in all models; expected at least 3."
        )
    held = {name: s.loc[common] for name, s in whole.items()}
    draws = named_rng(seed, "rank_models").integers(0, len(common), (n_resamples, len(common)))
    once = np.arange(len(common))[None, :]
    names = list(held)
    whole_parts = {name: _parts(held[name], once) for name in names}
    # one that some model lacks would count for the others alone
    kept = {k: w for k, w in weights.items() if all(np.isfinite(whole_parts[n][k]).all() for n in names)}
    if not any(kept.values()):
        raise CoverageError(
            "rank_models: no score that all models have; expected sites with a whole seasonal cycle."
        )
    resampled = np.stack([overall(_parts(held[n], draws), kept) for n in names])
    filled = np.where(np.isnan(resampled), -np.inf, resampled)
    best = filled == filled.max(axis=0)
    best = best / best.sum(axis=0)
    rows = []
    for i, name in enumerate(names):
        parts = whole_parts[name]
        low, high = np.nanquantile(resampled[i], [(1 - level) / 2, (1 + level) / 2])
        rows.append(
            {
                "model": name,
                **{k: float(v[0]) for k, v in parts.items()},
                "overall": float(overall(parts, kept)[0]),
                "low": float(low),
                "high": float(high),
                "first": float(best[i].mean()),
                "n_sites": len(common),
                "n_left_out": len(whole[name]) - len(common),
                "_at": i,
            }
        )
    out = pd.DataFrame(rows).sort_values("overall", ascending=False, ignore_index=True)
    at = out["_at"].to_numpy()
    beats = [float((resampled[a] > resampled[b]).mean()) for a, b in pairwise(at)]
    return out.assign(beats_next=[*beats, np.nan])[_RANKING]


_RANKING = [
    "model",
    *WEIGHTS,
    "overall",
    "low",
    "high",
    "first",
    "beats_next",
    "n_sites",
    "n_left_out",
]


def _parts(skill: pd.DataFrame, draws: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> dict[str, Array]:
    """Scores of each resample (draw,) of the sites."""
    parts: dict[str, Array] = {}
    for name in SITE_SCORES:
        values = skill[f"{name}_score"].to_numpy(np.float64)[draws]
        count = np.isfinite(values).sum(axis=1)
        parts[name] = np.divide(
            np.nansum(values, axis=1), count, out=np.full(len(draws), np.nan), where=count > 0
        )
    o, m = (skill[c].to_numpy(np.float64)[draws] for c in ("observed", "modelled"))
    o, m = (v - v.mean(axis=1, keepdims=True) for v in (o, m))
    so, sm = (np.sqrt((v**2).mean(axis=1)) for v in (o, m))
    with np.errstate(invalid="ignore", divide="ignore"):
        parts["spatial"] = spatial_score(sm / so, (o * m).mean(axis=1) / (so * sm))
    return parts
