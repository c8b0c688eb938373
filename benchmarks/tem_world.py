"""Random northern cells for the benchmarks of the process model."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from talik.tem import communities, radiation, water
from talik.tem.model import Forcing, Parameters
from talik.tem.thermal import materials, snow


def northern_cells(cells: int, seed: int = 0) -> tuple[Forcing, Parameters]:
    """Climates, soils and communities from 50 to 80 N, all with plants; half of them with permafrost."""
    rng = np.random.default_rng(seed)
    names = [communities.COMMUNITIES[i] for i in rng.integers(0, 3, cells)]
    plants = communities.parameters_for(names)
    p = jnp.asarray(rng.uniform(0.1, 0.9, cells))
    site = water.site_for(plants, p, jnp.asarray(rng.uniform(0, 1000, cells)))
    month = np.arange(-1, 13)[:, None]
    tair = rng.uniform(-15, 1, cells) - rng.uniform(10, 20, cells) * np.cos(2 * np.pi * (month - 0.3) / 12)
    tair += rng.normal(0, 1, (14, cells))
    rain = rng.gamma(2.0, 15.0, (12, cells))
    irradiance, par = radiation.light(rng.uniform(50, 80, cells), None, rng.uniform(0.3, 0.8, (12, cells)))
    ground = materials.ground_for(
        names, 100.0 * (1.0 - p), 40.0 * p, site.rooting_depth, site.field_capacity_share
    )
    windy = jnp.asarray([name in snow.WINDY for name in names])
    density = snow.snow_density(jnp.asarray(tair[1:-1]), jnp.asarray(rain), windy)
    parameters = Parameters(plants, site, ground, snow.resistance_per_mm(density))
    return Forcing(jnp.asarray(tair), jnp.asarray(rain), irradiance, par, jnp.asarray(350.0)), parameters
