"""Ensembles that are made up: balanced members of a few pixels with known quantiles."""

from __future__ import annotations

import numpy as np

from talik.fusion.ensemble import (
    DIAGNOSTICS,
    Ensemble,
    carbon_use_efficiency,
    derived_fluxes,
    residence_time,
)
from talik.fusion.parameters import bounds_of


def made_up(
    lat: np.ndarray,
    lon: np.ndarray,
    *,
    members: int = 40,
    years: int = 2,
    seed: int = 1,
    failed: tuple[int, ...] = (),
    unconverged: tuple[int, ...] = (),
    map_only: tuple[int, ...] = (),
) -> Ensemble:
    """An ensemble from 2001 on with a season; pixels by number fail, do not converge, or do for maps only."""
    rng = np.random.default_rng(seed)
    pixels, time = len(lat), 12 * years
    low, high = bounds_of("c1")
    parameters = np.exp(rng.uniform(np.log(low), np.log(high), (pixels, members, 28)))
    season = np.clip(np.sin(2 * np.pi * (np.arange(time) - 3) / 12), 0, None)[:, None, None]
    level = rng.lognormal(0, 0.3, (pixels, members))
    gpp = 6.0 * season * level
    ra = gpp * rng.uniform(0.3, 0.6, (pixels, members))
    rh = np.broadcast_to(0.8 * rng.lognormal(0, 0.3, (pixels, members)), gpp.shape).copy()
    fire = np.broadcast_to(0.05 * rng.lognormal(0, 0.5, (pixels, members)), gpp.shape).copy()
    pools = np.exp(rng.uniform(3, 8, (time + 1, 6, pixels, members)))
    days = np.tile([31.0, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], years)
    fluxes = derived_fluxes(gpp, ra, rh, fire)
    cue, mrt = carbon_use_efficiency(fluxes["npp"], gpp, days), residence_time(pools, rh, days)
    diagnostics = {name: np.full(pixels, 1.0) for name in DIAGNOSTICS}
    state = np.zeros(pixels, int)
    state[list(map_only)], state[list(unconverged)], state[list(failed)] = 1, 2, 3
    diagnostics["converged"], diagnostics["map_quality"] = state == 0, state <= 1
    gone = state == 3
    for array in (parameters, cue, mrt):
        array[gone] = np.nan
    for array in (pools, *fluxes.values()):
        array[..., gone, :] = np.nan
    return Ensemble(
        names=tuple(f"p{i}" for i in range(pixels)),
        lat=np.asarray(lat, float),
        lon=np.asarray(lon, float),
        years=2001 + np.arange(time) // 12,
        months=1 + np.arange(time) % 12,
        parameters=parameters,
        pools=pools,
        fluxes=fluxes,
        mrt=mrt,
        cue=cue,
        diagnostics=diagnostics,
        rhat=np.ones((pixels, 28)),
        rhat_outputs={"gpp": np.ones(pixels)},
        reason=tuple("" if s == 0 else f"R-hat of pixel {i}" for i, s in enumerate(state)),
    )


def half_degree(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres of half-degree cells in inner Siberia, all of them land."""
    lat, lon = np.meshgrid(62.25 + 0.5 * np.arange(rows), 110.25 + 0.5 * np.arange(columns), indexing="ij")
    return lat.ravel(), lon.ravel()
