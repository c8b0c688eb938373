"""Closing NEE = Reco - GPP: the least change of three predictions, weighted by their errors, that makes them agree."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError

Array = npt.NDArray[np.float64]

FLUXES = ("nee", "gpp", "reco")
CLOSURE = np.array([1.0, 1.0, -1.0])
"""A z = NEE + GPP - Reco, zero for consistent fluxes."""
KEYS = ["site_id", "year", "month"]
PRIOR_ROWS = 30.0
"""Default weight of the pooled covariance, in rows; a covariance of three fluxes has six numbers, so five rows each."""


@dataclass(frozen=True, slots=True)
class ErrorCovariance:
    """Covariance of the held-out errors of (NEE, GPP, Reco), (g C m-2 month-1)2, by group and pooled.

    groups: labels, sorted.  matrices: (group, 3, 3), shrunk towards pooled.  pooled: (3, 3) within groups.
    rows: (group,) rows behind each matrix.
    """

    groups: tuple[Hashable, ...]
    matrices: Array
    pooled: Array
    rows: npt.NDArray[np.int64]

    def of(self, group: Hashable) -> Array:
        """The (3, 3) covariance of a group; the pooled one if no held-out row belongs to it."""
        return self.matrices[self.groups.index(group)] if group in self.groups else self.pooled


def joint_errors(nee: pd.DataFrame, gpp: pd.DataFrame, reco: pd.DataFrame) -> pd.DataFrame:
    """Held-out errors (observed minus predicted) of the site-months that have all three fluxes.

    Each table: columns site_id, year, month, observed, predicted (g C m-2 month-1; GPP and Reco as magnitudes);
    whatever else `nee` holds (biome) is kept. Returns those columns and nee, gpp, reco.
    InputError: a column is missing or a site-month occurs twice.
    """
    out = nee.drop(columns=["observed", "predicted"], errors="ignore")
    for name, table in zip(FLUXES, (nee, gpp, reco), strict=True):
        missing = [c for c in (*KEYS, "observed", "predicted") if c not in table.columns]
        if missing:
            raise InputError(f"held-out predictions of {name}: columns {missing} are missing.")
        if table.duplicated(KEYS).any():
            raise InputError(
                f"held-out predictions of {name}: {int(table.duplicated(KEYS).sum())} site-months occur twice. "
                "Keep one held-out prediction per site and month."
            )
        errors = table[KEYS].assign(**{name: table["observed"] - table["predicted"]})
        out = out.drop(columns=name, errors="ignore").merge(errors, on=KEYS)
    return out.dropna(subset=list(FLUXES)).reset_index(drop=True)


def error_covariance(
    errors: pd.DataFrame, *, by: Sequence[str] = ("month", "biome"), prior_rows: float = PRIOR_ROWS
) -> ErrorCovariance:
    """Covariance of the errors nee, gpp, reco in every group of the columns `by`, as `joint_errors` returns them.

    A group of n rows has (sum of squares about its mean + prior_rows x pooled) / (n - 1 + prior_rows): the mean of
    an inverse Wishart posterior in all but name. Few rows lean on the pooled within-group covariance, many rows on
    themselves; prior_rows = 0 takes each group alone, infinity pools everything.
    Group labels are tuples in the order of `by` (a plain value for a single column).
    InputError: missing columns, not one more row than groups, or a matrix that is not positive definite.
    """
    missing = [c for c in (*by, *FLUXES) if c not in errors.columns]
    if missing:
        raise InputError(
            f"errors: columns {missing} are missing; found {list(errors.columns)}. See joint_errors."
        )
    if not prior_rows >= 0:
        raise InputError(f"prior_rows is {prior_rows:g}; it is a number of rows, 0 or more.")
    values = errors[list(FLUXES)].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise InputError("errors: missing values. Use the rows that have all three fluxes (joint_errors).")
    grouped = errors.groupby(list(by) if len(by) > 1 else by[0], sort=True)
    codes: npt.NDArray[np.int64] = grouped.ngroup().to_numpy().astype(np.int64)
    groups = tuple(grouped.groups)
    rows = np.bincount(codes, minlength=len(groups))
    mean = _sums_by(codes, values, len(groups)) / rows[:, None]
    deviation = values - mean[codes]
    squares = _sums_by(codes, (deviation[:, :, None] * deviation[:, None, :]).reshape(-1, 9), len(groups))
    squares = squares.reshape(-1, 3, 3)
    freedom = len(values) - len(groups)
    if freedom < 1:
        raise InputError(
            f"errors: {len(values)} rows in {len(groups)} groups leave nothing to pool. Use fewer groups."
        )
    pooled = squares.sum(axis=0) / freedom
    # written with weights, so that an infinite prior is allowed
    weight = np.divide(rows - 1, rows - 1 + prior_rows, out=np.zeros(len(groups)), where=rows > 1)
    alone = squares / np.maximum(rows - 1, 1)[:, None, None]
    matrices = weight[:, None, None] * alone + (1 - weight)[:, None, None] * pooled
    for label, matrix in zip((*groups, "pooled"), (*matrices, pooled), strict=True):
        _require_positive(matrix, str(label))
    return ErrorCovariance(groups, matrices, pooled, rows)


def make_consistent(fluxes: npt.ArrayLike, covariance: npt.ArrayLike) -> Array:
    """The consistent fluxes nearest to (NEE, GPP, Reco) in the norm of the inverse error covariance, (..., 3).

    fluxes: (..., 3), any unit, GPP and Reco as magnitudes.  covariance: (3, 3) of one group.
    Without bounds z* = z - S A' (A S A')^-1 A z with A = (1, 1, -1). Where that leaves GPP or Reco negative, the
    minimum under GPP, Reco >= 0 is at one of three points (GPP = 0; Reco = 0; all zero), and the nearest of those
    allowed is taken: the exact solution of the quadratic programme. NEE is Reco - GPP to the last digit;
    a row with a missing flux is missing. Consistent input comes back unchanged to rounding.
    InputError: shapes do not fit, or the covariance is not symmetric and positive definite.
    """
    z, s = np.asarray(fluxes, dtype=float), np.asarray(covariance, dtype=float)
    if z.ndim == 0 or z.shape[-1] != 3 or s.shape != (3, 3):
        raise InputError(
            f"make_consistent: expected fluxes (..., 3) and covariance (3, 3), found {z.shape} and {s.shape}."
        )
    _require_positive(s, "given")
    flat = z.reshape(-1, 3)
    out = np.where(np.isnan(flat).any(axis=1, keepdims=True), np.nan, _project(flat, s, CLOSURE[None, :]))
    negative = np.flatnonzero((out[:, 1] < 0) | (out[:, 2] < 0))
    if negative.size:
        out[negative] = _bounded(flat[negative], s)
    out[:, 0] = out[:, 2] - out[:, 1]
    return out.reshape(z.shape)


def _bounded(z: Array, s: Array) -> Array:
    """The nearest point with NEE = Reco - GPP on the boundary of GPP, Reco >= 0, for rows z (row, 3)."""
    precision = np.linalg.inv(s)
    best = np.zeros_like(z)
    distance = np.einsum("ri,ij,rj->r", z, precision, z)
    for zero, free in ((1, 2), (2, 1)):
        active = np.stack([CLOSURE, np.eye(3)[zero]])
        candidate = _project(z, s, active)
        candidate[:, zero] = 0.0
        change = candidate - z
        length = np.einsum("ri,ij,rj->r", change, precision, change)
        nearer = (candidate[:, free] >= 0) & (length < distance)
        best[nearer], distance[nearer] = candidate[nearer], length[nearer]
    return best


def _project(z: Array, s: Array, constraints: Array) -> Array:
    """z - S C' (C S C')^-1 C z for rows z (row, 3) and constraints C z = 0, C (constraint, 3)."""
    gain = np.linalg.solve(constraints @ s @ constraints.T, constraints @ s).T
    # einsum, not BLAS: the same digits for any number of rows or threads
    gap = np.einsum("ri,ci->rc", z, constraints)
    change: Array = np.einsum("rc,ic->ri", gap, gain)
    return z - change


def _sums_by(codes: npt.NDArray[np.int64], values: Array, groups: int) -> Array:
    return np.stack([np.bincount(codes, weights=column, minlength=groups) for column in values.T], axis=-1)


def _require_positive(matrix: Array, label: str) -> None:
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = matrix / np.outer(scale, scale)
    symmetric = np.allclose(matrix, matrix.T, rtol=1e-9, atol=0.0)
    if not (symmetric and np.isfinite(correlation).all() and np.linalg.eigvalsh(correlation).min() > 1e-10):
        raise InputError(
            f"error covariance of group {label}: expected a symmetric positive definite 3 x 3 matrix. Errors that "
            "already close exactly, or a flux without error, leave nothing to share out; check the predictions, "
            "pool more groups, or raise prior_rows."
        )
