"""Atmospheric inversions of a world: its net exchange through a smoothing kernel, a prior, and errors of transport.

The network of the air is a list of places where carbon dioxide is or was measured; far from them an inversion says what
its prior says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.flux.units import amount_from_rate
from talik.osse.fields import smooth_fields, smooth_series
from talik.osse.geography import Land
from talik.osse.nature import Nature
from talik.osse.netcdf import month_edges, write_dataset
from talik.osse.weather import persistent
from talik.regions.sphere import arc_km, unit_vectors
from talik.rng import named_rng

Array = npt.NDArray[np.float64]

STATIONS: tuple[tuple[float, float], ...] = (
    (71, -157), (55, -163), (65, -148), (82, -62), (69, -105), (68, -134), (62, -114), (54, -105), (50, -127),
    (50, -82), (59, -94), (52, -56), (63, -20), (73, -38), (53, -10), (60, 18), (64, 20), (56, 13), (68, 24),
    (62, 24), (79, 12), (51, 12), (61, 89), (72, 129), (69, 162), (63, 76), (58, 82), (62, 129),
)  # fmt: skip
"""Latitude and longitude, whole degrees, of stations and towers of the northern network (Barrow, Cold Bay, Alert,
Churchill, Summit, Mace Head, Norunda, Pallas, Zeppelin, Zotino, Tiksi, Ambarchik, Noyabrsk, Yakutsk and others), from
memory."""
_SEEN_KM = 700.0
"""Distance at which a station counts exp(-1/2) of one close by."""
_ERROR_KM, _PRIOR_KM = 1500.0, 2000.0
"""Lengths of errors of transport and of the prior."""
_COMMON = 0.5
"""Share of the variance of the error of a prior that is the same everywhere."""
_MOST_ROUNDS, _BALANCED = 1000, 1e-13
POSTERIOR, PRIOR = "land_flux_only_fossil_cement_adjusted", "prior_flux_land"
UNITS = "Pg m-2 yr-1"


def system_names(nature: Nature) -> tuple[str, ...]:
    """Names of the inversions of a world."""
    return tuple(f"inversion-{i + 1}" for i in range(nature.settings.inversions.systems))


def write_inversions(out: Path, nature: Nature) -> None:
    """All systems in one file laid out as the package of the Global Carbon Budget (layout `gcb`), on the world's grid.

    Sea, and ice that exchanges nothing, hold 0 as there.
    """
    land, time, names = nature.land, nature.months["time"].to_numpy(), system_names(nature)
    found = [invert(nature, name) for name in names]
    width = max(map(len, names))
    ds = xr.Dataset(coords={"time": time, "lat": land.grid.y, "lon": land.grid.x})
    for variable, values in ((POSTERIOR, [f[0] for f in found]), (PRIOR, [f[1] for f in found])):
        per_cell = np.nan_to_num(land.on_grid(np.stack(values) * land.land_share))
        rate = xr.DataArray(
            per_cell, {"time": time}, ("ensemble_member", "time", "lat", "lon"), attrs={"units": "kg m-2 s-1"}
        )
        amount = amount_from_rate(rate, UNITS).transpose(*rate.dims)
        ds[variable] = (rate.dims, amount.to_numpy(), {"units": UNITS, "species": "C"})
    letters = np.array([list(name.ljust(width)) for name in names], "S1")
    ds["ensemble_member_name"] = (("ensemble_member", "string"), letters)
    ds["time_bnds"] = (("time", "bnds"), month_edges(nature.months["time"]))
    ds["time"].attrs = {"standard_name": "time", "bounds": "time_bnds"}
    ds["lat"].attrs = {"standard_name": "latitude", "units": "degrees_north"}
    ds["lon"].attrs = {"standard_name": "longitude", "units": "degrees_east"}
    ds.attrs = {"title": "inversions of a made-up world", "Conventions": "CF-1.12"}
    write_dataset(out, ds, since="days since 1960-01-01")


def invert(nature: Nature, name: str) -> tuple[Array, Array]:
    """What an inversion says, and its prior: net land exchange with fire and waters, kg C m-2 s-1 of land, up.

    Both (time, cell). Truth and prior pass the same kernel and are weighed by `prior_weight`; without errors the total
    of the land is the true one.
    """
    wanted, land = nature.settings.inversions, nature.land
    truth = sum(nature.months[part].to_numpy() for part in ("nee", "fFire", "water"))
    prior = truth + prior_error(nature, name) * nature.months["gpp"].to_numpy()
    matrix, weight = kernel(land, wanted.kernel_km), prior_weight(nature)
    seen = truth @ matrix.T
    season = seen.reshape(-1, 12, land.size).mean(axis=0)
    swing = 0.5 * (season.max(axis=0) - season.min(axis=0))
    steps = smooth_series(
        nature.settings.seed, f"{name}/transport", land.lat, land.lon, steps=len(seen), length_km=_ERROR_KM
    )
    error = wanted.transport_sd * swing * persistent(steps)
    return (1.0 - weight) * seen + weight * (prior @ matrix.T) + error, prior


def kernel(land: Land, width_km: float) -> Array:
    """(to, from) weights that smooth a flux per area of land over the cells of the land.

    They go with exp(-d2 / (2 width2)) and land area, d the distance along the sphere in km, and are balanced so that
    the total of the land is kept and a flux that is the same everywhere stays as it is.
    """
    at = unit_vectors(land.lat, land.lon)
    apart = arc_km(np.linalg.norm(at[:, None] - at[None, :], axis=-1))
    near = np.exp(-0.5 * (apart / width_km) ** 2)
    size = np.ones(land.size)
    share = land.land_area_m2 / land.land_area_m2.sum()
    for _ in range(_MOST_ROUNDS):
        held = size * (near @ (share * size))
        if np.abs(held - 1.0).max() < _BALANCED:
            break
        size = size / np.sqrt(held)
    return np.asarray(size[:, None] * near * (share * size)[None, :])


def prior_weight(nature: Nature) -> Array:
    """(cell,) share of the prior: that of the settings where as many stations are near as on average over land, 1 where
    none is."""
    land, share = nature.land, nature.settings.inversions.prior_weight
    lat, lon = np.array(STATIONS, float).T
    apart = arc_km(
        np.linalg.norm(unit_vectors(land.lat, land.lon)[:, None] - unit_vectors(lat, lon), axis=-1)
    )
    seen = np.exp(-0.5 * (apart / _SEEN_KM) ** 2).sum(axis=1)
    seen = seen / np.average(seen, weights=land.land_area_m2)
    if share in (0.0, 1.0):
        return np.full(land.size, share)
    return np.asarray(share / (share + (1.0 - share) * seen))


def prior_error(nature: Nature, name: str) -> Array:
    """(cell,) error of the prior of a system as a share of GPP, positive where it emits too much."""
    wanted, land, seed = nature.settings.inversions, nature.land, nature.settings.seed
    own = named_rng(seed, f"osse/{name}/prior everywhere").normal()
    field = smooth_fields(seed, (f"{name}/prior",), land.lat, land.lon, length_km=_PRIOR_KM)[f"{name}/prior"]
    spread = np.sqrt(_COMMON) * own + np.sqrt(1.0 - _COMMON) * field
    return np.asarray(wanted.prior_bias + wanted.prior_sd * spread)
