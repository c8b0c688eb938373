"""The greedy choice of places for towers: each where it helps most given those before it; what the choice does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import Field

from talik.config import Frozen
from talik.errors import ConfigError
from talik.rng import named_rng
from talik.upscaling.network_cells import Cells
from talik.upscaling.network_gain import Conditioned, Coverage, Places, best, condition, distance_km
from talik.upscaling.network_influence import Leaning
from talik.upscaling.trees import Float64, Int64

Criterion = Literal["variance", "dissimilarity", "influence"]
RANDOM = 20
"""Random choices of as many towers that the chosen ones are compared with."""


class NetworkSettings(Frozen):
    """How towers are chosen."""

    towers: Annotated[int, Field(ge=1, le=1000)] = 5
    criterion: Criterion = "dissimilarity"
    """variance: of the budget; dissimilarity: area-weighted, of the region; influence: leaning on towers that carry
    much."""
    target: str | None = None
    """The region whose budget counts; not given: all regions together, or the domain where none is named."""
    tower_years: Annotated[float, Field(gt=0)] = 3.0
    """Length of the record that a new tower will have."""
    instrument_sd: Annotated[float, Field(ge=0)] = 0.0
    """Further lasting error of a new tower's annual flux, g m-2 yr-1, beside what the residuals show of old ones."""
    max_cells: Annotated[int, Field(ge=50, le=20_000)] = 3000
    """Cells that the cube is reduced to; memory grows with the square (8 bytes x 3000**2 = 72 MB)."""
    seed: Annotated[int, Field(ge=0)] = 448
    """Of the random choices shown for comparison."""


@dataclass(slots=True)
class Network:
    """What is known before a tower is chosen."""

    cells: Cells
    candidates: Int64
    """Numbers of cells."""
    places: Places
    towers: Places
    sums: Float64
    """(1 + R, n) area of the target and of every region in the cells."""
    field: Conditioned | None
    coverage: Coverage
    leaning: Leaning | None
    noise: float
    """Variance of what a new tower sees beside the field."""

    def scores(self) -> dict[str, Float64]:
        """(m,) of each criterion that can be had, for the candidates."""
        out = {"dissimilarity": self.coverage.removed()}
        if self.field is not None:
            out["variance"] = self.field.removed(self.noise)[:, 0]
        if self.leaning is not None:
            out["influence"] = self.leaning.of_cells()[self.candidates]
        return out


def chosen(
    state: Network, settings: NetworkSettings, regions: list[str]
) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """The table of chosen towers, and the SD of every region's budget; `state` is left as it was."""
    field, coverage, leaning = state.field, state.coverage, state.leaning
    start = None if field is None else np.diag(field.sums).copy()
    unlike = coverage.total()
    rows: list[dict[str, float]] = []
    taken: list[int] = []
    spots = state.places.take(state.candidates)
    network = state.towers
    if state.noise <= 0 and field is not None:
        raise ConfigError("a new tower would see the field without error; give it an instrument_sd above 0.")
    for rank in range(1, settings.towers + 1):
        now = replace(state, towers=network, field=field, coverage=coverage, leaning=leaning)
        scores = now.scores()
        j = best(scores[settings.criterion], taken)
        cell = int(state.candidates[j])
        row = {
            "rank": rank,
            "lat": float(state.cells.lat[cell]),
            "lon": float(state.cells.lon[cell]),
            "variance_removed": np.nan,
            "variance_left": np.nan,
            "dissimilarity": float(coverage.nearest[cell]),
            "dissimilarity_removed": float(scores["dissimilarity"][j]) / unlike if unlike > 0 else 0.0,
            "leaning": float(scores["influence"][j]) if leaning is not None else np.nan,
            "nearest_km": float(distance_km(spots.take(slice(j, j + 1)), network).min()),
        }
        coverage = coverage.with_tower(j)
        row["dissimilarity_left"] = coverage.total() / unlike if unlike > 0 else 0.0
        if leaning is not None:
            leaning = leaning.with_tower(cell, settings.tower_years)
            row["effective_sites"] = float(1 / (leaning.shares() ** 2).sum())
        if field is not None and start is not None:
            off = field.removed(state.noise)[j]
            field = field.with_tower(j, state.noise)
            row["variance_removed"] = float(off[0] / start[0])
            row["variance_left"] = float(field.sums[0, 0] / start[0])
            for r, name in enumerate(regions[2:], start=2):
                row[f"variance_removed_{name}"] = float(off[r] / start[r]) if start[r] > 0 else 0.0
        rows.append(row)
        taken.append(j)
        network = Places(
            np.vstack([network.at, spots.at[j]]), np.vstack([network.predictors, spots.predictors[j]])
        )
    table = pd.DataFrame(rows)
    if leaning is None:
        table["effective_sites"] = np.nan
    return table, _sds(state, field, regions)


def _sds(state: Network, after: Conditioned | None, regions: list[str]) -> dict[str, dict[str, float]]:
    """By region: SD without any tower, with the existing ones, with the chosen ones too."""
    if state.field is None or after is None:
        return {}
    none = condition(
        state.field.covariance,
        state.places,
        state.sums,
        state.towers.take(slice(0)),
        np.ones(0),
        state.places.take(slice(0)),
    )
    parts = {"no_tower": none.sums, "existing": state.field.sums, "proposed": after.sums}
    return {
        name: {k: float(np.sqrt(max(v[r, r], 0.0))) for k, v in parts.items()}
        for r, name in enumerate(regions)
        if r != 0 or name not in regions[1:]
    }


def curve(state: Network, proposed: pd.DataFrame, settings: NetworkSettings) -> pd.DataFrame:
    """Shares left by number of towers, and those of random places among the candidates."""
    k = len(proposed)
    out = pd.DataFrame({"towers": np.arange(k + 1)})
    for name in ("variance_left", "dissimilarity_left"):
        out[name] = np.concatenate([[1.0 if proposed[name].notna().any() else np.nan], proposed[name]])
    left = np.full((RANDOM, k + 1), np.nan)
    if state.field is not None:
        for n in range(RANDOM):
            order = named_rng(settings.seed, f"network {n}").permutation(len(state.candidates))[:k]
            field, left[n, 0] = state.field, 1.0
            for i, j in enumerate(order, start=1):
                field = field.with_tower(int(j), state.noise)
                left[n, i] = field.sums[0, 0] / state.field.sums[0, 0]
        out["random_mean"], out["random_low"], out["random_high"] = left.mean(0), left.min(0), left.max(0)
    else:
        out[["random_mean", "random_low", "random_high"]] = np.nan
    return out


def maps(state: Network) -> xr.Dataset:
    """Fields on the cells; NaN where there is no valid pixel, or no tower may stand."""
    cells, grid = state.cells, state.cells.grid
    out = grid.frame()
    scores = state.scores()
    told: dict[str, tuple[Float64, str]] = {
        "dissimilarity": (state.coverage.nearest, "dissimilarity to the tower most like the cell"),
        "allowed": (cells.allowed.astype(np.float64), "1 where a tower may stand"),
    }
    removed = np.full(len(cells.index), np.nan)
    total = state.coverage.total()
    removed[state.candidates] = scores["dissimilarity"] / total if total > 0 else 0.0
    told["dissimilarity_removed"] = (
        removed,
        "share of the area-weighted dissimilarity that a tower here would remove",
    )
    if state.field is not None:
        own = np.full(len(cells.index), np.nan)
        own[state.candidates] = scores["variance"] / state.field.sums[0, 0]
        told["variance_removed"] = own, "share of the variance of the budget that a tower here would remove"
    if state.leaning is not None:
        told["leaning"] = (
            state.leaning.of_cells(),
            "share of the budget that rests on the towers the cell leans on",
        )
    for name, (values, words) in told.items():
        plane = np.full(grid.size, np.nan)
        plane[cells.index] = values
        attrs = {"units": "1", "long_name": words, "grid_mapping": "crs"}
        out[name] = (grid.dims, plane.reshape(grid.shape), attrs)
    return out
