"""Carbon and nitrogen in 25 soil layers to 6 m at the start of a run, and the part of each layer that is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.tem.permafrost.hyperbola import INTERVAL_EDGES_M, Array, fit_hyperbola
from talik.tem.permafrost.layers import NO_PERMAFROST_M
from talik.tem.thermal.grid import CARBON_THICKNESS_M, bounds, midpoints

GRAMS = 1000.0
"""Grams in a kilogram."""
CN_DEPTHS_M = (2.0, 3.0)
"""Depths between which C:N goes from its upper to its lower value."""
CARBON_TO_NITROGEN = (11.0, 8.0)
"""C:N (g g-1) above 2 m and below 3 m that the totals of Liu et al. (2024) imply."""

_EDGES_M: Array = np.round(bounds(CARBON_THICKNESS_M), 12)
"""(26,) edges of the carbon layers."""
_DEEP: npt.NDArray[np.bool_] = _EDGES_M[:-1] >= INTERVAL_EDGES_M[-1]
"""(25,) layers below the observed intervals."""
_SHARES: Array = np.clip(
    np.minimum(_EDGES_M[1:, None], INTERVAL_EDGES_M[None, 1:])
    - np.maximum(_EDGES_M[:-1, None], INTERVAL_EDGES_M[None, :-1]),
    0.0,
    None,
) / np.diff(INTERVAL_EDGES_M)
"""(25, 4) share of each interval that lies in a layer."""


class Stock(NamedTuple):
    """Carbon and nitrogen of every column at the start.

    carbon, nitrogen : (25, column) g m-2 in the layers of `CARBON_THICKNESS_M`.
    source : (column,) where the carbon is from: 'observed', the mean of its 'community', or the mean of 'all'.
    notes : sentences on what was filled.
    """

    carbon: Array
    nitrogen: Array
    source: npt.NDArray[np.str_]
    notes: tuple[str, ...]


def layer_carbon(stocks: Array, *, smooth: bool = False) -> Array:
    """Carbon in the 25 layers to 6 m, g m-2, (25, cell).

    stocks : (4, cell) carbon at 0-0.3, 0.3-1, 1-2 and 2-3 m, kg m-2; NaN gives NaN.
    smooth : the hyperbola in all layers; else carbon is uniform within the intervals, and the hyperbola holds below
        3 m. The sum to 3 m is that of the stocks only if not smooth.

    Where 2-3 m holds nothing, neither do the layers below. Works for nitrogen too.
    Source: Liu et al. (2024); the fit is described at `fit_hyperbola`.
    """
    fitted = fit_hyperbola(stocks).stock(_EDGES_M)
    deep = np.where(stocks[3] == 0.0, 0.0, fitted)
    shallow = fitted if smooth else _SHARES @ stocks
    return GRAMS * np.where(_DEEP[:, None], deep, shallow)


def pooled_stocks(stocks: Array, community: Sequence[str], weights: Array) -> dict[str, Array]:
    """Weighted mean stock of each interval over the observed columns of every community, kg m-2, (4,).

    stocks : (4, column) kg m-2, NaN where not observed.     community : name for each column.
    weights : (column,) area times the share of the community in its cell.

    A community without an observation gets the mean of all observed columns.

    Raises:
        InputError: no column is observed, or none that weighs anything.
    """
    observed = _observed(stocks)
    if not (observed.any() and np.isfinite(weights).all() and weights[observed].sum() > 0.0):
        raise InputError(
            f"soil carbon: {int(observed.sum())} of {observed.size} columns are observed, with weights "
            f"{float(weights.sum()):g}; expected one at least, and areas in every cell. Give a soil-carbon file that "
            "covers the cells, and land files with cell areas."
        )
    names = np.asarray(community)
    means = {}
    for name in dict.fromkeys(community):
        here = observed & (names == name)
        chosen = here if weights[here].sum() > 0.0 else observed
        means[name] = np.average(stocks[:, chosen], axis=1, weights=weights[chosen])
    return means


def pooled_profiles(stocks: Array, community: Sequence[str], weights: Array) -> dict[str, Array]:
    """Carbon in the 25 layers for every community, g m-2, (25,): one hyperbola through its mean stocks.

    Liu et al. (2024) give this profile to cells without an observation. Arguments and errors are those of
    `pooled_stocks`.
    """
    means = pooled_stocks(stocks, community, weights)
    layers = layer_carbon(np.stack(list(means.values()), axis=1), smooth=True)
    return dict(zip(means, layers.T, strict=True))


def carbon_to_nitrogen(ratio: tuple[float, float] = CARBON_TO_NITROGEN) -> Array:
    """C:N of soil that thaws, g g-1, (25,) at the layer midpoints: linear between 2 and 3 m, constant outside.

    Raises:
        ConfigError: ratios that are not above 0.
    """
    if not (ratio[0] > 0.0 and ratio[1] > 0.0):
        raise ConfigError(
            f"C:N of permafrost is {ratio}; expected two values above 0, above 2 m and below 3 m."
        )
    return np.interp(midpoints(CARBON_THICKNESS_M), CN_DEPTHS_M, ratio)


def frozen_share(alt_m: Array) -> Array:
    """Share of each layer below the active layer, 0..1, (25, cell).

    alt_m : (cell,) active-layer thickness, m. From 10 m on, and where it is NaN, there is no permafrost: 0.
    """
    length = np.clip(_EDGES_M[1:, None] - np.maximum(_EDGES_M[:-1, None], alt_m), 0.0, None)
    share = np.minimum(length / np.diff(_EDGES_M)[:, None], 1.0)
    return np.where(alt_m < NO_PERMAFROST_M, share, 0.0)


def initial_stock(
    observed: xr.Dataset | None,
    community: Sequence[str],
    cell: npt.NDArray[np.integer],
    weights: Array,
    *,
    carbon_nitrogen: tuple[float, float] = CARBON_TO_NITROGEN,
) -> Stock:
    """Carbon and nitrogen of every column, by layer, before anything thaws.

    observed : what `talik.sources.soil_carbon.read_soil_carbon` returns for the cells of the run.
    community : name for each column.     cell : (column,) place of its cell in `observed`.
    weights : (column,) area times the share of the community in the cell, any unit.
    carbon_nitrogen : C:N above 2 m and below 3 m, where no nitrogen is observed.

    An observed column keeps its intervals and has a hyperbola below 3 m; any other has the profile of its community.
    Nitrogen is treated like carbon in columns where both are observed, and in communities that have such columns.
    Hand over the whole run at once, because means by community depend on which columns there are.
    Source: Liu et al. (2024); C:N from its totals.

    Raises:
        InputError: nothing is observed, or other intervals than 0-0.3, 0.3-1, 1-2 and 2-3 m.
        ConfigError: C:N that is not above 0.
    """
    if observed is None:
        raise InputError(
            "permafrost carbon: no soil-carbon file; expected stocks of 0-3 m. Give NCSCD or other files."
        )
    edges = np.append(observed["top"].values, observed["bottom"].values[-1])
    if not np.array_equal(edges, INTERVAL_EDGES_M):
        raise InputError(
            f"permafrost carbon: intervals with edges {', '.join(f'{e:g}' for e in edges)} m; expected 0, 0.3, 1, 2 "
            "and 3 m. Read the files with read_soil_carbon."
        )
    ratio = carbon_to_nitrogen(carbon_nitrogen)[:, None]
    carbon_stocks = observed["carbon"].transpose("interval", "cell").values
    carbon, source = _filled(carbon_stocks, community, cell, weights)
    nitrogen = carbon / ratio
    if "nitrogen" in observed:
        both = np.where(
            np.isfinite(carbon_stocks), observed["nitrogen"].transpose("interval", "cell").values, np.nan
        )
        if _observed(both[:, cell]).any():
            own, origin = _filled(both, community, cell, weights)
            nitrogen = np.where(origin == source, own, nitrogen)
    return Stock(carbon, nitrogen, source, _notes(community, source))


def _filled(
    stocks: Array, community: Sequence[str], cell: npt.NDArray[np.integer], weights: Array
) -> tuple[Array, npt.NDArray[np.str_]]:
    """Layers of every column, (25, column), and where they are from, (column,)."""
    seen = _observed(stocks[:, cell])
    names = np.asarray(community)
    known = np.isin(names, names[seen & (weights > 0.0)])
    source = np.where(seen, "observed", np.where(known, "community", "all"))
    layers = layer_carbon(stocks)[:, cell]
    if not seen.all():
        for name, profile in pooled_profiles(stocks[:, cell], community, weights).items():
            layers[:, ~seen & (names == name)] = profile[:, None]
    return layers, source


def _observed(stocks: Array) -> npt.NDArray[np.bool_]:
    """Columns that have a stock in every interval, (column,)."""
    return np.asarray(np.isfinite(stocks).all(axis=0))


def _notes(community: Sequence[str], source: npt.NDArray[np.str_]) -> tuple[str, ...]:
    """What was filled, in sentences."""
    notes = []
    for kind, whose in (("community", "the mean profile of their community"), ("all", "that of all")):
        here = np.flatnonzero(source == kind)
        if here.size:
            names = ", ".join(sorted({community[i] for i in here.tolist()}))
            notes.append(f"soil carbon: {here.size} of {source.size} columns have {whose} ({names})")
    return tuple(notes)
