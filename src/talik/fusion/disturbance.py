"""Forest loss and fire: what a step takes from the pools that biology left, in this order.

Fire as in Bloom et al. (2016) with fitted completeness and resilience; forest loss as in Smallman et al. (2021).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from talik.fusion.parameters import P
from talik.fusion.phenology import Array
from talik.fusion.switches import Switches

COARSE_ROOT = 0.32
"""Share of wood that is coarse root."""
LITTER_RESILIENCE = 0.1
"""Share of unburnt litter of a burnt area that stays litter."""
_FIXED_COMPLETENESS = (0.1, 0.9, 0.1, 0.1, 0.7, 0.01)
_FIXED_RESILIENCE = 0.5


class Scenario(NamedTuple):
    """What is done with lost forest, as shares.

    roots, coarse : of roots and of coarse roots that are taken out of the ground.     keep_* : of cut foliage, root,
    coarse root and stem that stays on the site.     soil : of the extracted coarse root that SOM loses with it.
    burns : whether the cleared area burns.
    """

    roots: float
    coarse: float
    keep_foliage: float
    keep_root: float
    keep_coarse: float
    keep_stem: float
    soil: float
    burns: bool


SCENARIOS = {
    1: Scenario(0.0, 0.0, 1.0, 1.0, 1.0, 0.2, 0.02, True),
    2: Scenario(0.0, 0.0, 1.0, 1.0, 1.0, 0.2, 0.02, False),
    3: Scenario(0.0, 0.0, 0.5, 1.0, 1.0, 0.0, 0.02, False),
    4: Scenario(1.0, 1.0, 0.5, 1.0, 0.0, 0.0, 0.02, False),
    5: Scenario(0.0, 0.0, 0.1, 0.0, 0.0, 0.12, 0.0, False),
}
"""Clear and burn; default; whole tree; with stumps; grazing and cutting."""


class Pools(NamedTuple):
    """Carbon, g m-2, each (...)."""

    labile: jax.Array
    foliage: jax.Array
    root: jax.Array
    wood: jax.Array
    litter: jax.Array
    som: jax.Array


class Cut(NamedTuple):
    """Cut carbon and the part of it that stays (labile, foliage, root, wood), and loss of SOM; g m-2 a step."""

    cut: tuple[jax.Array, jax.Array, jax.Array, jax.Array]
    residue: tuple[jax.Array, jax.Array, jax.Array, jax.Array]
    som_loss: jax.Array


class Burn(NamedTuple):
    """Shares of each pool that burn (6) and that die unburnt (5) where the whole area burns."""

    emission: tuple[Array, ...]
    mortality: tuple[Array, ...]


def cut_forest(pools: Pools, loss: Array, scenario: Scenario) -> tuple[Pools, Cut]:
    """Pools after a share `loss` of the forest is lost, and what was cut."""
    s = scenario
    coarse, stem = COARSE_ROOT * pools.wood, (1.0 - COARSE_ROOT) * pools.wood
    total = pools.root + pools.wood
    total = jnp.where(total > 0.0, total, 1.0)
    kept = pools.root * s.keep_root + stem * s.keep_stem + coarse * s.keep_coarse
    labile = pools.labile * loss * (pools.root * s.roots + stem + coarse * s.coarse) / total
    foliage, root = pools.foliage * loss, pools.root * (s.roots * loss)
    stem, coarse = stem * loss, coarse * (s.coarse * loss)
    cut = (labile, foliage, root, stem + coarse)
    residue = (
        labile * kept / total,
        foliage * s.keep_foliage,
        root * s.keep_root,
        stem * s.keep_stem + coarse * s.keep_coarse,
    )
    som_loss = s.soil * (1.0 - s.keep_coarse) * coarse
    after = Pools(
        pools.labile - cut[0],
        pools.foliage - cut[1],
        pools.root - cut[2],
        pools.wood - cut[3],
        pools.litter + residue[0] + residue[1] + residue[2],
        pools.som + residue[3] - som_loss,
    )
    return after, Cut(cut, residue, som_loss)


def burn_shares(theta: Array, switches: Switches) -> Burn:
    """Shares that burn and that die in a fire, from combustion completeness and resilience (28, ...)."""
    resilience: Array | float
    completeness: tuple[Array | float, ...]
    if switches.fire == "fixed":
        completeness, resilience = _FIXED_COMPLETENESS, _FIXED_RESILIENCE
    else:
        living = theta[P.CC_LIV]
        completeness = (living, theta[P.CC_FOL], living, living, theta[P.CC_LIT], theta[P.CC_SOM])
        resilience = theta[P.RHO]
    if switches.som_burnt == "surface":
        completeness = (*completeness[:5], completeness[5] * switches.surface_share)
    dies = (1.0 - resilience,) * 4 + (1.0 - LITTER_RESILIENCE,)
    mortality = tuple((1.0 - c) * d for c, d in zip(completeness[:5], dies, strict=True))
    return Burn(tuple(jnp.asarray(c) for c in completeness), tuple(jnp.asarray(m) for m in mortality))


def burnt_area(burned: Array, loss: Array, scenario: Scenario, switches: Switches) -> Array:
    """Share of the pixel that burns, with what burns after clearing (time, ...)."""
    if not scenario.burns:
        return burned
    if switches.cleared_burns == "pixel":
        return jnp.where(loss > 0.0, 1.0, burned)
    return jnp.minimum(1.0, burned + loss)


def burn(
    pools: Pools, area: Array, shares: Burn
) -> tuple[Pools, tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Pools after a fire on a share `area`, what burnt (6) and what died unburnt (5), g m-2 a step."""
    emission = tuple(pool * (area * share) for pool, share in zip(pools, shares.emission, strict=True))
    mortality = tuple(pool * (area * share) for pool, share in zip(pools[:5], shares.mortality, strict=True))
    left = [pool - out for pool, out in zip(pools, emission, strict=True)]
    left[:5] = [pool - dead for pool, dead in zip(left[:5], mortality, strict=True)]
    left[4] = left[4] + (mortality[0] + mortality[1] + mortality[2])
    left[5] = left[5] + (mortality[3] + mortality[4])
    return Pools(*left), emission, mortality
