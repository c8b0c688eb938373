"""Sites as a model of residuals: what a search or a sampler asks for, many parameter vectors at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import ConfigError, InputError
from talik.tem.calibration.forward import ANNUAL, POOLS, Fixed, Predicted, Sites, predict
from talik.tem.calibration.free import FreeParameters
from talik.tem.calibration.posterior import with_jacobian
from talik.tem.inputs import Columns
from talik.tem.thermal.grid import SOIL_THICKNESS_M, interpolation

Array = jax.Array


def _balance(
    c_v: float, n_vs: float, c_s: float, n_s: float, npp: float, uptake: float
) -> Mapping[str, float]:
    held = {"C_V": c_v, "N_VS": n_vs, "C_S": c_s, "N_S": n_s, "npp": npp, "uptake": uptake}
    return MappingProxyType(held)


BALANCE = (*POOLS, *ANNUAL)
"""Pools and annual fluxes of the equilibrium that can be targets, g m-2 and g m-2 yr-1."""
MCGUIRE_1992: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "alpine_tundra_polar_desert": _balance(450.0, 6.5, 6000.0, 260.0, 65.0, 0.50),
        "wet_tundra": _balance(750.0, 15.0, 12000.0, 733.0, 120.0, 0.80),
        "boreal_forest": _balance(9000.0, 24.0, 11000.0, 370.0, 220.0, 2.30),
    }
)
"""What the parameters of TEM were calibrated to (McGuire et al. 1992; Toolik and Bonanza Creek): carbon and nitrogen of
plants and soil, net primary production, nitrogen uptake."""
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


class BalanceTargets(NamedTuple):
    """What the equilibrium should be, each (k,): value and sigma, which of `BALANCE`, column."""

    value: npt.NDArray[np.float64]
    sigma: npt.NDArray[np.float64]
    which: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]


def balance_targets(
    columns: Columns, communities: Sequence[str], names: Sequence[str], share: float
) -> BalanceTargets:
    """`MCGUIRE_1992` for the columns of some communities; sigma is a share of each value.

    Raises:
        ConfigError: a community or a name that the table does not have.
    """
    rows = []
    for community in communities:
        require_balance(community, names)
        at = [i for i, of in enumerate(columns.community) if of == community]
        for name in names:
            value = MCGUIRE_1992[community][name]
            rows += [(value, share * value, BALANCE.index(name), column) for column in at]
    held = np.array(rows).reshape(-1, 4)
    return BalanceTargets(held[:, 0], held[:, 1], held[:, 2].astype(np.int64), held[:, 3].astype(np.int64))


def require_balance(community: str, names: Iterable[str]) -> None:
    """ConfigError where `MCGUIRE_1992` does not have one of the names for a community."""
    for name in names:
        if community not in MCGUIRE_1992:
            raise ConfigError(
                f"calibration.stages.balance: no target pools of {community!r}; there are those of "
                f"{', '.join(MCGUIRE_1992)}."
            )
        if name not in MCGUIRE_1992[community]:
            known = ", ".join(MCGUIRE_1992[community])
            raise ConfigError(f"calibration.stages.balance: {name!r} is unknown; choose from: {known}.")


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


def no_targets() -> Targets:
    """No monthly target, for a search on the equilibrium alone."""
    none, index = np.zeros(0), np.zeros(0, np.int64)
    return Targets(none, none, index, index, index, index, np.zeros((0, SOIL_THICKNESS_M.size)))


def modelled(predicted: Predicted, targets: Targets) -> Array:
    """What the model gives for targets, (start, m)."""
    at = (targets.year, targets.month, slice(None), targets.column)
    warm = predicted.tsoil[targets.year, targets.month, :, :, targets.column]
    each = (
        predicted.gpp[at],
        predicted.reco[at],
        -predicted.nep[at],
        jnp.einsum("mls,ml->ms", warm, targets.at_depth),
        predicted.thaw_depth[at],
    )
    return jnp.stack(each)[targets.variable, np.arange(targets.variable.size)].T


class SiteModel:
    """Residuals (observation - model) / sigma of targets, for coordinates (start, n); a `differences.Model`.

    Monthly targets come first, then those of the equilibrium.

    A start whose equilibrium is not found has no residuals (not a number).
    """

    def __init__(
        self, sites: Sites, free: FreeParameters, targets: Targets, equilibrium: BalanceTargets | None = None
    ) -> None:
        self.sites, self.free, self.targets, self.equilibrium = sites, free, targets, equilibrium

    def residuals(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(start, m)."""
        return np.asarray(self._residuals(self.sites.fixed, jnp.asarray(x)))

    def with_jacobian(
        self, x: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Residuals (start, m) and their derivatives (start, m, n)."""
        found, jacobian = self._with_jacobian(self.sites.fixed, jnp.asarray(x))
        return np.asarray(found), np.asarray(jacobian)

    def traced(self, fixed: Fixed, x: Array) -> Array:
        """`residuals` inside a JAX program; fixed : `Sites.fixed`."""
        predicted = predict(self.sites, self.free, fixed, x)
        residuals = (jnp.asarray(self.targets.value) - modelled(predicted, self.targets)) / self.targets.sigma
        if self.equilibrium is not None:
            wanted = self.equilibrium
            pools = jnp.concatenate([predicted.pools, predicted.annual])
            held = pools[wanted.which, :, wanted.column].T
            residuals = jnp.concatenate([residuals, (wanted.value - held) / wanted.sigma], axis=1)
        return jnp.where(predicted.balanced.all(axis=1)[:, None], residuals, jnp.nan)

    @cached_property
    def _residuals(self) -> jax.stages.Wrapped:
        return jax.jit(self.traced)

    @cached_property
    def _with_jacobian(self) -> jax.stages.Wrapped:
        return jax.jit(lambda fixed, x: with_jacobian(partial(self.traced, fixed), x))
