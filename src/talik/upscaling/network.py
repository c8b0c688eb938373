"""Where would the next towers help most? Existing towers, candidate places, and what the criteria need.

The criteria are the expected variance that a tower takes off a regional budget (`network_gain`, with the error field
of `network_field`), the area-weighted dissimilarity that it removes, and how much the place leans on towers that carry
much already (`network_influence`). Equations and what they are worth: docs/science/network-design.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.records import json_rows
from talik.upscaling.applicability import placed
from talik.upscaling.distances import unit_vectors
from talik.upscaling.error_budget import TG_PER_G
from talik.upscaling.forest import FittedForest
from talik.upscaling.model import Model
from talik.upscaling.network_cells import Cells, positions, read_cells
from talik.upscaling.network_choice import Criterion, Network, NetworkSettings, chosen, curve, maps
from talik.upscaling.network_field import FieldFit, LastingError, fit_field
from talik.upscaling.network_gain import (
    Conditioned,
    Places,
    condition,
    cover,
    dissimilarity,
)
from talik.upscaling.network_influence import Leaning
from talik.upscaling.trees import Float32, Float64, Int64

DOMAIN = "domain"
GROWTH = 4.0
"""Middle of the prior of the range in predictor space, in medians of the dissimilarity of two cells: the error is taken
to grow with dissimilarity over most of the region, which residuals at places like each other cannot show."""
MONTHLY_UNITS = "g m-2 month-1"


@dataclass(frozen=True, slots=True, eq=False)
class NetworkDesign:
    """Proposed towers and what each would do."""

    settings: NetworkSettings
    target: str
    proposed: pd.DataFrame
    """One row a tower in the order chosen: rank, lat, lon, variance_removed (share of the budget's variance given the
    existing towers that this one takes off, after those before it), variance_left (after it), dissimilarity (of the
    place to the network before it), dissimilarity_removed, dissimilarity_left (shares of the area-weighted sum given
    the existing towers), leaning (0..1), effective_sites (after it), nearest_km (to the nearest tower), and
    variance_removed_<region>. NaN where a criterion cannot be had."""
    existing: pd.DataFrame
    """One row a tower of the model: site_id, lat, lon, on_grid, months, influence (share of the budget that speaks with
    its voice)."""
    curve: pd.DataFrame
    """One row a number of towers 0 .. k: towers, variance_left, dissimilarity_left, and random_mean, random_low,
    random_high: variance_left of random places (mean, least and most of 20 choices)."""
    maps: xr.Dataset
    """On the cells: variance_removed and dissimilarity_removed by one tower more, dissimilarity, leaning, allowed."""
    sd: dict[str, dict[str, float]]
    """By region: sd of the mean annual budget that lasting errors make, without any tower, with the existing and with
    the proposed ones too. Tg yr-1 for a flux per month, else in the model's unit times m2."""
    units: str
    """Of the model's flux."""
    field: FieldFit | None
    notes: tuple[str, ...]
    years: tuple[int, int]

    def facts(self) -> dict[str, Any]:
        """All but the maps, as JSON values."""
        fit = self.field
        return {
            "settings": self.settings.model_dump(mode="json"),
            "target": self.target,
            "years": list(self.years),
            "proposed": json_rows(self.proposed),
            "existing": json_rows(self.existing),
            "curve": json_rows(self.curve),
            "sd": self.sd,
            "units": self.units,
            "error": None
            if fit is None
            else {
                **fit.field.model_dump(mode="json"),
                "n_sites": fit.n_sites,
                "log_likelihood_gain": fit.gain,
                "bias": fit.bias,
                "flags": list(fit.flags),
            },
            "notes": list(self.notes),
        }


def residuals_in(model: Model) -> pd.DataFrame:
    """Held-out errors of a model file in the columns of `fit_error_model`; empty where it has none.

    Rows without position or date are left out.
    """
    columns = ["site_id", "lat", "lon", "year", "month", "residual"]
    rows = model.rows
    if rows is None or rows.at is None:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame({"lat": rows.at[:, 0], "lon": rows.at[:, 1]})
    table.insert(0, "site_id", np.array(model.facts["sites"], object)[rows.groups])
    table["year"], table["month"] = np.floor(rows.at[:, 2] / 12), rows.at[:, 2] % 12 + 1
    table["residual"] = rows.held_out - rows.y
    return table.dropna().reset_index(drop=True)


def design_network(
    model: Model,
    cube: Sequence[Path],
    settings: NetworkSettings | None = None,
    *,
    years: tuple[int, int] | None = None,
    regions: Sequence[str] = (),
    where: str | None = None,
    land_fraction: str | None = None,
    field: LastingError | None = None,
) -> NetworkDesign:
    """Choose towers one after the other, each where it helps most given those before it.

    cube : files of predictors as for `talik upscale predict`. regions : names in the forms of `talik.regions.named`.
    where : places where a tower may stand (`read_cells`). field : the lasting error; not given: fitted to the held-out
    residuals of the model.

    Raises:
        ConfigError: the model cannot tell what the criterion needs, or an unknown target.
        InputError, GridError, UnitsError: what is wrong with the files.
    """
    settings = settings or NetworkSettings()
    rows, area_of = model.rows, model.applicability
    if rows is None or area_of is None or rows.at is None:
        raise ConfigError(
            f"the model of {model.schema.target} carries no training rows with positions; train it again with this "
            "version of talik, from a table with lat and lon, and without --without-rows."
        )
    sites = [str(s) for s in model.facts["sites"]]
    existing = positions(rows.at, rows.groups, sites)
    notes = _unplaced(existing)
    cells = read_cells(
        cube,
        model.schema.features,
        lat=existing["lat"].to_numpy(),
        lon=existing["lon"].to_numpy(),
        years=years,
        regions=regions,
        where=where,
        land_fraction=land_fraction,
        max_cells=settings.max_cells,
    )
    existing["on_grid"] = cells.on_grid
    existing["months"] = np.bincount(rows.groups, minlength=len(sites))
    notes += _off_grid(existing)
    target, sums = _sums(cells, settings.target, bool(regions))
    where_cells, towers = _places(model, cells, existing)
    candidates = np.flatnonzero(cells.allowed)
    fit, error = None, field
    if field is None:
        fit, told = _fit(model, where_cells, towers, existing, settings.criterion)
        notes += told
        error = fit.field if fit else None
    state = Network(
        cells, candidates, where_cells, towers, sums,
        None if error is None else _conditioned(error, where_cells, towers, sums, candidates, model, existing),
        cover(where_cells, sums[0], towers, where_cells.take(candidates)),
        _leaning(model, cells.x, sums[0], settings.criterion),
        0.0 if error is None else error.seen(settings.tower_years, settings.instrument_sd),
    )  # fmt: skip
    existing["influence"] = np.nan if state.leaning is None else state.leaning.shares()
    proposed, sd = chosen(state, settings, [target, *cells.regions])
    factor = TG_PER_G if model.schema.units == MONTHLY_UNITS else 1.0
    return NetworkDesign(
        settings,
        target,
        proposed,
        existing,
        curve(state, proposed, settings),
        maps(state),
        {name: {k: factor * v for k, v in told.items()} for name, told in sd.items()},
        model.schema.units,
        fit,
        (*notes, *(fit.flags if fit else ())),
        cells.years,
    )


def _unplaced(existing: pd.DataFrame) -> list[str]:
    nowhere = existing.loc[existing[["lat", "lon"]].isna().any(axis=1), "site_id"]
    if len(nowhere) == len(existing):
        raise InputError(
            "the training table told no position of any site; train from a table with columns lat and lon."
        )
    if not len(nowhere):
        return []
    return [f"{len(nowhere)} sites without a position are left out: {', '.join(nowhere.iloc[:5])}"]


def _off_grid(existing: pd.DataFrame) -> list[str]:
    lost = existing.loc[~existing["on_grid"] & existing["lat"].notna(), "site_id"]
    if not existing["on_grid"].any():
        raise InputError(
            f"none of the {len(existing)} sites of the model lies on a valid pixel of the cube or near one; do the "
            "cube and the sites belong together?"
        )
    return (
        [f"{len(lost)} sites lie outside the cube and are left out: {', '.join(lost.iloc[:5])}"]
        if len(lost)
        else []
    )


def _sums(cells: Cells, wanted: str | None, named: bool) -> tuple[str, Float64]:
    """Name of the target, and (1 + R, n) area of the target and of every region.

    Raises:
        ConfigError: an unknown target, or regions that overlap and so cannot be taken together.
    """
    if wanted is not None and wanted not in cells.regions:
        raise ConfigError(f"--for {wanted}: no such region; choose one of {', '.join(cells.regions)}.")
    if wanted is not None:
        target, area = wanted, cells.area[cells.regions.index(wanted)]
    elif not named:
        target, area = DOMAIN, cells.area[0]
    else:
        target, area = " + ".join(cells.regions[1:]), cells.area[1:].sum(axis=0)
        if (area > cells.area[0] * (1 + 1e-6)).any():
            raise ConfigError(f"{target}: these regions overlap; say with --for which of them counts.")
    if not area.sum() > 0:
        raise ConfigError(f"{target}: no valid pixel of the cube lies in it.")
    return target, np.vstack([area, cells.area])


def _places(model: Model, cells: Cells, existing: pd.DataFrame) -> tuple[Places, Places]:
    """Cells, and towers on the grid. Distance is the root mean square over calendar months of the distance in weighted
    predictor space, over the mean distance between training rows."""
    on_grid = existing["on_grid"].to_numpy()
    coordinates = _coordinates(model, np.concatenate([cells.x, cells.towers[:, on_grid]], axis=1))
    n = cells.x.shape[1]
    lat, lon = existing["lat"].to_numpy()[on_grid], existing["lon"].to_numpy()[on_grid]
    return (
        Places(unit_vectors(cells.lat, cells.lon), coordinates[:n]),
        Places(unit_vectors(lat, lon), coordinates[n:]),
    )


def _coordinates(model: Model, x: Float32) -> Float64:
    """(n, d) for predictors (12, n, p)."""
    area = model.applicability
    assert area is not None  # noqa: S101  (checked by the caller)
    months = [placed(rows, area.centre, area.factor, area.n_levels) for rows in x]
    whole = np.hstack(months) / (area.mean_distance * np.sqrt(len(x)))
    return np.ascontiguousarray(whole[:, np.ptp(whole, axis=0) > 0])


def _fit(
    model: Model, cells: Places, towers: Places, existing: pd.DataFrame, criterion: Criterion
) -> tuple[FieldFit | None, list[str]]:
    residuals = residuals_in(model)
    names = existing.loc[existing["on_grid"], "site_id"].tolist()
    try:
        if not len(residuals):
            raise ConfigError(
                f"the model of {model.schema.target} has no held-out residuals with position, year and month, so the "
                "error of its map is not known; train it with --cv loso or cluster, or use --criterion dissimilarity."
            )
        some = cells.take(slice(None, None, max(1, len(cells) // 500)))
        middle = GROWTH * float(np.median(dissimilarity(some, some)))
        return fit_field(residuals, towers, names, middle=middle), []
    except (ConfigError, InputError) as err:
        if criterion == "variance":
            raise
        return None, [f"the variance of the budget is not known: {err}"]


def _conditioned(
    error: LastingError,
    cells: Places,
    towers: Places,
    sums: Float64,
    candidates: Int64,
    model: Model,
    existing: pd.DataFrame,
) -> Conditioned:
    """The field given the existing towers, each with the noise of its own record."""
    on_grid = existing["on_grid"].to_numpy()
    noise = error.own + 12 * error.noise / existing["months"].to_numpy(np.float64)[on_grid]
    floor = 1e-6 * error.smooth
    return condition(error.kernel, cells, sums, towers, np.maximum(noise, floor), cells.take(candidates))


def _leaning(model: Model, x: Float32, area: Float64, criterion: Criterion) -> Leaning | None:
    if not isinstance(model.fitted, FittedForest) and criterion != "influence":
        return None
    return Leaning.of(model, x, area)
