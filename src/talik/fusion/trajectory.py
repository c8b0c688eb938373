"""What a run of DALEC gives back."""

from __future__ import annotations

from typing import NamedTuple

import jax

Array = jax.Array


class Fluxes(NamedTuple):
    """Fluxes of each step (time, ...), g C m-2 d-1, positive in the direction named; by pool (time, n, ...).

    fall : foliage to litter.     emission : to the atmosphere by fire, 6 pools.     mortality : killed by fire and
    not burnt, pools 1-5.     cut : carbon cut in forest loss, pools 1-4 (wood: stem and coarse root).     residue :
    what of it stays on the site, pools 1-4.     som_loss : loss of SOM with cutting. The last five are None without
    such disturbance.
    """

    gpp: Array
    ra: Array
    to_foliage: Array
    to_labile: Array
    to_root: Array
    to_wood: Array
    release: Array
    fall: Array
    wood_turnover: Array
    root_turnover: Array
    rh_litter: Array
    litter_to_som: Array
    rh_som: Array
    emission: Array | None
    mortality: Array | None
    cut: Array | None
    residue: Array | None
    som_loss: Array | None

    @property
    def npp(self) -> Array:
        """GPP - Ra."""
        return self.gpp - self.ra

    @property
    def rh(self) -> Array:
        """Heterotrophic respiration."""
        return self.rh_litter + self.rh_som

    @property
    def nee(self) -> Array:
        """Ra + Rh - GPP, to the atmosphere, without fire."""
        return self.ra + self.rh - self.gpp

    @property
    def fire(self) -> Array:
        """Emission of all pools; 0 without fires."""
        return 0.0 * self.gpp if self.emission is None else self.emission.sum(axis=1)

    @property
    def nbe(self) -> Array:
        """NEE + fire, to the atmosphere."""
        return self.nee + self.fire


class Trajectory(NamedTuple):
    """Pools (time + 1, 6, ...), g C m-2, at the start of each step and at the end; fluxes of each step."""

    pools: Array
    fluxes: Fluxes
