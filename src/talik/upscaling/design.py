"""The validation designs by name, made for a training table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from talik.errors import ConfigError, InputError
from talik.upscaling.folds import Folds, forward_chain, leave_groups_out, year_blocks
from talik.upscaling.training import Training
from talik.upscaling.trees import Float64, Int64

DESIGNS = ("loso", "cluster", "knndm", "year", "forward")


def make_folds(
    training: Training,
    name: str,
    *,
    distance_km: float = 50.0,
    k: int = 10,
    points: Path | None = None,
    seed: int = 448,
) -> Folds:
    """The folds of design `name`.

    loso each site; cluster groups of sites within distance_km of each other (complete linkage); knndm k folds whose
    distances to the training sites are those of the prediction points (`points`: a table with lat and lon; none: the
    land cells of `land_points`); year k blocks of years; forward each of them from earlier ones.

    Raises:
        ConfigError: unknown design.
        InputError: the table lacks the column a design needs (lat and lon, or year).
    """
    groups = training.data.groups
    if name == "loso":
        return leave_groups_out(groups)
    if name in ("year", "forward"):
        if "year" not in training.rows:
            raise InputError(f"--cv {name} needs a column year; the table has none")
        years = pd.to_numeric(training.rows["year"], errors="coerce").to_numpy(np.float64)
        return year_blocks(years, k) if name == "year" else forward_chain(years, k)
    if name == "cluster":
        from talik.upscaling.distances import site_clusters

        labels = site_clusters(*site_positions(training), distance_km)
        note = f"{len(np.unique(labels))} clusters of {training.n_sites} sites within {distance_km:g} km"
        return leave_groups_out(labels[groups], "cluster", note)
    if name == "knndm":
        return _knndm(training, k, points, seed)
    raise ConfigError(f"validation design {name!r} is unknown; choose one of {', '.join(DESIGNS)}")


def site_positions(training: Training) -> tuple[Float64, Float64]:
    """(S,) latitude and (S,) longitude of the sites: the mean position of their rows.

    Raises:
        InputError: no lat and lon, or a site without.
    """
    rows = training.rows
    if "lat" not in rows or "lon" not in rows:
        raise InputError("this validation design needs columns lat and lon; the table has none")
    mean = rows[["lat", "lon"]].groupby(training.data.groups).mean()
    if mean.isna().any().any():
        lost = [training.sites[g] for g in mean.index[mean.isna().any(axis=1)]]
        raise InputError(
            f"{len(lost)} sites have no position ({', '.join(lost[:5])}); give lat and lon or drop them"
        )
    return mean["lat"].to_numpy(np.float64), mean["lon"].to_numpy(np.float64)


def land_points(south: float = 49.0, step: float = 0.5) -> tuple[Float64, Float64]:
    """Latitude and longitude of land cells of a lat-lon grid from `south` to the pole, as dense in area everywhere.

    Of the cells that are at least half land, each row keeps the share cos(lat) / cos(south), evenly spread: all of
    them would count the far north, where cells are narrow, more than twice.
    """
    from talik.regions.grid import LatLonGrid
    from talik.regions.masks import land_fraction

    grid = LatLonGrid.regular(step, lat=(south, 90.0))
    land = land_fraction(grid)
    lats, lons, points = land["lat"].to_numpy(), land["lon"].to_numpy(), []
    for lat, row in zip(lats, land.to_numpy() >= 0.5, strict=True):
        cells = np.flatnonzero(row)
        kept = round(len(cells) * np.cos(np.radians(lat)) / np.cos(np.radians(lats[0])))
        chosen = cells[((np.arange(kept) + 0.5) * len(cells) / max(kept, 1)).astype(np.int64)]
        points.append(np.column_stack([np.full(len(chosen), lat), lons[chosen]]))
    together = np.concatenate(points)
    return together[:, 0], together[:, 1]


def _knndm(training: Training, k: int, points: Path | None, seed: int) -> Folds:
    from talik.upscaling.knndm import geographic_folds

    if points is None:
        lat, lon = land_points()
        of = f"{len(lat)} land cells of 0.5 degree north of 49 N, even in area"
    else:
        from talik.sources.table_file import read_table

        table, _ = read_table(points)
        lost = [c for c in ("lat", "lon") if c not in table]
        if lost:
            raise InputError(
                f"{points}: column {', '.join(lost)} missing; prediction points need lat and lon"
            )
        lat, lon = table["lat"].to_numpy(np.float64), table["lon"].to_numpy(np.float64)
        of = f"{len(lat)} points of {points}"
    made = geographic_folds(*site_positions(training), lat, lon, k=k, seed=seed)
    fold: Int64 = made.fold
    how = "random folds, sites are not clustered" if made.random else f"{made.q} clusters"
    note = f"{len(np.unique(fold))} folds ({how}), mismatch of distances {made.mismatch:.0f} km, prediction points {of}"
    return leave_groups_out(fold[training.data.groups], "knndm", note)
