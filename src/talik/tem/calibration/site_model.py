"""Sites as a model of residuals: what a search or a sampler asks for, many parameter vectors at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.tem.calibration.forward import Fixed, Predicted, Sites, predict
from talik.tem.calibration.free import FreeParameters
from talik.tem.thermal.grid import SOIL_THICKNESS_M, interpolation

Array = jax.Array

VARIABLES = ("gpp", "reco", "nee", "tsoil", "thaw_depth")


class Targets(NamedTuple):
    """Observations where the model has them, each (m,): value and sigma in the units of `Predicted` (nee upward), which
    of `VARIABLES`, year from 0, month from 0, column; at_depth (m, 42): weights of the soil layers."""

    value: npt.NDArray[np.float64]
    sigma: npt.NDArray[np.float64]
    variable: npt.NDArray[np.int64]
    year: npt.NDArray[np.int64]
    month: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    at_depth: npt.NDArray[np.float64]


def targets_of(table: pd.DataFrame, sites: Sites, place: Mapping[str, int]) -> Targets:
    """The rows of `Observations.table` as targets; place : column of each site_id.

    Raises:
        InputError: sites that do not run, years that the climate does not hold, or no row at all.
    """
    if table.empty:
        raise InputError("calibration: no observation. Choose other sites, years or variables.")
    unknown = sorted(set(table["site_id"]) - set(place))
    if unknown:
        raise InputError(
            f"calibration: observations of {', '.join(unknown)}, which do not run. Add them to the sites."
        )
    outside = table[~table["year"].isin(sites.years)]
    if len(outside):
        one = outside.iloc[0]
        raise InputError(
            f"calibration: {len(outside)} observations lie outside the climate {sites.years[0]}..{sites.years[-1]}, "
            f"first {one['variable']} of {one['site_id']} in {one['year']}. Give a longer climate, or other years."
        )
    depth = table["depth_m"].to_numpy(dtype=np.float64)
    at_depth = np.zeros((len(table), SOIL_THICKNESS_M.size))
    for of in np.unique(depth[np.isfinite(depth)]):
        at_depth[depth == of] = interpolation(float(of))[0]
    return Targets(
        table["value"].to_numpy(dtype=np.float64),
        table["sigma"].to_numpy(dtype=np.float64),
        np.asarray(table["variable"].map(VARIABLES.index), dtype=np.int64),
        np.asarray(table["year"] - sites.years[0], dtype=np.int64),
        np.asarray(table["month"] - 1, dtype=np.int64),
        np.asarray(table["site_id"].map(place), dtype=np.int64),
        at_depth,
    )


def modelled(predicted: Predicted, targets: Targets) -> Array:
    """What the model gives for targets, (m,)."""
    at = (targets.year, targets.month, targets.column)
    warm = jnp.einsum(
        "ml,ml->m", predicted.tsoil[targets.year, targets.month, :, targets.column], targets.at_depth
    )
    each = (predicted.gpp[at], predicted.reco[at], -predicted.nep[at], warm, predicted.thaw_depth[at])
    return jnp.stack(each)[targets.variable, np.arange(targets.variable.size)]


class SiteModel:
    """Residuals (observation - model) / sigma of targets, for coordinates (start, n); a `differences.Model`.

    A start whose equilibrium is not found has no residuals (not a number).
    """

    def __init__(self, sites: Sites, free: FreeParameters, targets: Targets) -> None:
        self.sites, self.free, self.targets = sites, free, targets

    def one(self, fixed: Fixed, x: Array) -> tuple[Array, Array]:
        """Residuals (m,) at coordinates (n,), and whether every equilibrium was found; fixed : `Sites.fixed`."""
        predicted = predict(self.sites, self.free, fixed, x)
        misfit = jnp.asarray(self.targets.value) - modelled(predicted, self.targets)
        return misfit / self.targets.sigma, jnp.all(predicted.balanced)

    def residuals(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(start, m)."""
        found, balanced = self._many(self.sites.fixed, jnp.asarray(x))
        return np.where(np.asarray(balanced)[:, None], np.asarray(found), np.nan)

    def with_jacobian(
        self, x: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Residuals (start, m) and their derivatives (start, m, n)."""
        found, jacobian, balanced = self._many_with_jacobian(self.sites.fixed, jnp.asarray(x))
        good = np.asarray(balanced)[:, None]
        return np.where(good, np.asarray(found), np.nan), np.where(
            good[..., None], np.asarray(jacobian), np.nan
        )

    def along(self, fixed: Fixed, x: Array) -> tuple[Array, Array, Array]:
        """Residuals (m,), Jacobian (m, n) and whether it is balanced, at coordinates (n,)."""

        def column(tangent: Array) -> tuple[Array, Array, Array]:
            value, derivative, balanced = jax.jvp(partial(self.one, fixed), (x,), (tangent,), has_aux=True)
            return value, derivative, balanced

        value, jacobian, balanced = jax.vmap(column, out_axes=(None, 1, None))(jnp.eye(x.size, dtype=x.dtype))
        return value, jacobian, balanced

    @cached_property
    def _many(self) -> jax.stages.Wrapped:
        return jax.jit(jax.vmap(self.one, in_axes=(None, 0)))

    @cached_property
    def _many_with_jacobian(self) -> jax.stages.Wrapped:
        return jax.jit(jax.vmap(self.along, in_axes=(None, 0)))
