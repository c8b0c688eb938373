"""Shapley values of a forest: how much each predictor moved each prediction, exact for the trees as they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.upscaling.parallel import over_blocks
from talik.upscaling.shapley_paths import add_interactions, add_values, expected_values, prepared
from talik.upscaling.trees import Float32, Float64, Trees

BLOCK_ROWS = 64
"""Rows explained by one thread at a time; results do not depend on it."""

CHUNK_ROWS = 65_536
"""Rows whose Shapley values are held in memory at once by `attribute_change`."""

GROUPS = ("climate", "vegetation", "other")

GROUP_OF: Mapping[str, str] = {
    "month": "other",
    "srad": "climate",
    "vpd": "climate",
    "co2": "climate",
    "vegetation_type": "vegetation",
    "snow_cover": "climate",
    "soil_temperature": "climate",
    "soil_moisture": "climate",
    "ndvi": "vegetation",
    "surface_temperature": "climate",
    "cti": "other",
    "tree_cover": "vegetation",
    "non_tree_vegetation": "vegetation",
    "non_vegetated": "vegetation",
    "soil_ph": "other",
    "soc_stock": "other",
    "permafrost_probability": "other",
}
"""Group of each of the 17 predictors; the calendar month stands for no single driver and is `other`."""


@dataclass(frozen=True, slots=True, eq=False)
class Dominant:
    """The two predictors that moved each prediction most, and their groups."""

    first: npt.NDArray[np.int16]
    """(rows,) column with the largest absolute Shapley value; the lower column if two are equal."""
    second: npt.NDArray[np.int16]
    """(rows,) column with the second largest."""
    first_group: npt.NDArray[np.int8]
    """(rows,) position of the first one's group in `GROUPS`."""
    second_group: npt.NDArray[np.int8]
    """(rows,) the same for the second."""


def tree_shap(trees: Trees, x: Float32, threads: int = 1) -> tuple[Float64, float]:
    """Shapley values phi (rows, p) of every prediction, and the base value they start from.

    x : (rows, p) float32, as for `Trees.predict`. phi and base have the unit and sign of the response (for NEE:
    g C m-2 month-1, negative = uptake), and base + phi.sum(axis=1) is the prediction.

    The worth of a set of known predictors is the prediction in which, at a split on an unknown predictor, both
    children count by their share of the training responses ("tree path dependent"; Lundberg et al. 2018, 2020).
    Correlated predictors therefore share credit as the trees happened to use them, and a predictor that no tree
    uses has exactly 0.

    A leaf reached along d distinct predictors adds value * prod(known_i or share_i), so its Shapley value is the
    integral over t in 0..1 of the derivative of prod(t known_i + (1 - t) share_i) (the multilinear extension, Owen
    1972). That is a polynomial of degree d - 1, which Gauss-Legendre quadrature with d/2 points integrates exactly:
    the cost per row is nodes x d/2, the values are those of Lundberg's algorithm 2 to rounding.

    Raises:
        InputError: x does not fit the trees, holds missing values or unknown levels; or a node without responses.
    """
    x = _checked(trees, x)
    forest = prepared(trees)
    phi = np.zeros((len(x), len(trees.n_levels)))
    over_blocks(len(x), threads, lambda a, b: add_values(forest, x[a:b], phi[a:b]), BLOCK_ROWS)
    return phi / trees.n_trees, _base(trees)


def tree_shap_interactions(trees: Trees, x: Float32, threads: int = 1) -> Float64:
    """Shapley interaction values (rows, p, p), symmetric; each row i of the matrix sums to phi_i of `tree_shap`.

    Entry (i, j) is half of what i and j add together beyond what each adds alone, averaged over the sets of other
    known predictors (the index of Grabisch and Roubens 1999, halved as in Lundberg et al. 2020); the diagonal is
    the rest of phi_i, the effect of i on its own. Unit and sign of the response. Memory is 8 p^2 bytes per row, and
    a row takes about ten times as long as in `tree_shap`.

    Raises:
        InputError: as `tree_shap`.
    """
    x = _checked(trees, x)
    forest = prepared(trees)
    p = len(trees.n_levels)
    out = np.zeros((len(x), p, p))
    over_blocks(len(x), threads, lambda a, b: add_interactions(forest, x[a:b], out[a:b]), BLOCK_ROWS)
    out /= 2 * trees.n_trees
    phi, _ = tree_shap(trees, x, threads)
    own = np.arange(p)
    out[:, own, own] = phi - out.sum(axis=2)
    return out


def attribute_change(
    trees: Trees, x_then: Float32, x_now: Float32, area_weights: Float64, threads: int = 1
) -> Float64:
    """(p,) part of the change of a regional budget that goes with each predictor.

    x_then, x_now : (rows, p) predictors of the same pixel-months in two periods, e.g. the means of 2001-2010 and of
    2011-2020. area_weights : (rows,) area of each pixel in m2, times any factor that makes up the budget (1 per
    month). Result: sum over rows of area * (phi now - phi then), in response unit x area (for NEE g C, negative =
    more uptake); it sums to the change of sum(area * prediction).

    A predictor that did not change can have a part: its effect depends on those that did.

    Raises:
        InputError: the periods or weights differ in length, or as `tree_shap`.
    """
    area = np.asarray(area_weights, dtype=np.float64)
    if len(x_then) != len(x_now) or area.shape != (len(x_now),):
        raise InputError(
            f"attribute_change: x_then has {len(x_then)} rows, x_now {len(x_now)}, area_weights shape {area.shape}; "
            "all three must describe the same pixel-months in the same order."
        )
    if not np.isfinite(area).all():
        raise InputError(
            "attribute_change: area_weights holds values that are not finite; drop those rows first."
        )
    parts = np.zeros(len(trees.n_levels))
    for a in range(0, len(area), CHUNK_ROWS):
        chunk = slice(a, a + CHUNK_ROWS)
        now, _ = tree_shap(trees, x_now[chunk], threads)
        then, _ = tree_shap(trees, x_then[chunk], threads)
        parts += (area[chunk, None] * (now - then)).sum(axis=0)
    return parts


def dominant(phi: Float64, groups: Sequence[str]) -> Dominant:
    """The predictors with the largest and second largest absolute Shapley value of every row, and their groups.

    phi : (rows, p) from `tree_shap`, p >= 2. groups : the group of each column, one of `GROUPS` (`GROUP_OF` has
    the 17 predictors of the model).

    Raises:
        InputError: fewer than two columns, missing values, or groups that do not fit.
    """
    if phi.ndim != 2 or phi.shape[1] < 2 or len(groups) != phi.shape[1]:
        raise InputError(
            f"dominant: phi has shape {phi.shape} and groups {len(groups)} entries; expected (rows, p) with p >= 2 "
            "and one group for each of the p columns."
        )
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise InputError(f"dominant: unknown groups {unknown}; each column needs one of {list(GROUPS)}.")
    if not np.isfinite(phi).all():
        raise InputError(
            "dominant: phi holds values that are not finite; explain only pixels with all predictors."
        )
    order = np.argsort(-np.abs(phi), axis=1, kind="stable")[:, :2].astype(np.int16)
    group = np.array([GROUPS.index(g) for g in groups], dtype=np.int8)[order]
    return Dominant(order[:, 0], order[:, 1], group[:, 0], group[:, 1])


def _checked(trees: Trees, x: Float32) -> Float32:
    p = len(trees.n_levels)
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.ndim != 2 or x.shape[1] != p:
        raise InputError(f"x has shape {x.shape}; the trees need (rows, {p}), one column per predictor.")
    if not np.isfinite(x).all():
        raise InputError("x holds values that are not finite; explain only rows that have every predictor.")
    for j in np.flatnonzero(trees.n_levels):
        column, n = x[:, j], int(trees.n_levels[j])
        if ((column < 0) | (column >= n) | (column != np.floor(column))).any():
            raise InputError(
                f"x column {j} is categorical with levels coded 0..{n - 1}, but holds "
                f"{column.min():g}..{column.max():g}. Code it as in training; a new level cannot be explained."
            )
    return x


def _base(trees: Trees) -> float:
    """Mean over trees of the expected leaf value, the prediction when no predictor is known."""
    return float(np.mean(expected_values(trees.offset, trees.feature, trees.left, trees.value, trees.cover)))
