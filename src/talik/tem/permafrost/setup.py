"""Permafrost of a run: parameters of columns, and what is frozen in the reference year."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.sources.soil_carbon import read_soil_carbon
from talik.tem import model
from talik.tem.communities import COMMUNITIES
from talik.tem.inputs import Columns, read_columns
from talik.tem.permafrost.layers import Parameters, Permafrost, carbon_layers
from talik.tem.permafrost.stock import Stock, carbon_to_nitrogen, frozen_share, initial_stock, layer_carbon
from talik.tem.settings import Files, PermafrostCarbon, TemSettings
from talik.tem.thermal.freezing import Layers
from talik.tem.thermal.grid import CARBON_THICKNESS_M, bounds
from talik.tem.thermal.materials import (
    POROSITY_FIBRIC,
    POROSITY_HUMIC,
    organic_for,
    saturation_below_roots,
)

Array = jax.Array


def permafrost_parameters(
    communities: Sequence[str], parameters: model.Parameters, wanted: PermafrostCarbon, thaws: bool = True
) -> Parameters:
    """Parameters of columns, fields as `Parameters` says; thaws : whether thaw exposes what is frozen."""
    site, ground = parameters.site, parameters.ground
    full = jnp.ones_like(site.porosity)
    capacity = site.field_capacity_share
    if isinstance(ground, Layers):  # legacy layers state no pores: those of the root zone stand for them
        porosity = jnp.broadcast_to(site.porosity, (CARBON_THICKNESS_M.size, *site.porosity.shape))
        deep = saturation_below_roots(organic_for(communities).wetness, capacity)
    else:
        organic = ground.fibric * POROSITY_FIBRIC + ground.humic * POROSITY_HUMIC
        porosity = carbon_layers(organic + ground.mineral * ground.porosity)
        deep = ground.deep_saturation
    if wanted.deep_wetness is not None:
        deep = saturation_below_roots(wanted.deep_wetness, capacity)
    return Parameters(
        attenuation_m=wanted.attenuation_m * full,
        inorganic_share=wanted.inorganic_share * full,
        porosity=porosity,
        deep_saturation=deep,
        thaws=float(thaws) * full,
        in_reach=wanted.nitrogen_in_reach * full,
    )


def stock_of(columns: Columns, wanted: PermafrostCarbon, files: Sequence[Path]) -> Stock:
    """Soil carbon and nitrogen of all columns of a run, by layer: of files, of stated profiles, of communities.

    Raises:
        InputError: soil carbon that cannot be right, or none at all.
        ConfigError: profiles of communities that do not exist, or that are negative.
    """
    _check_profiles(wanted)
    community = np.asarray(columns.community)
    stated = np.isin(community, list(wanted.profiles))
    if not files and not stated.all():
        missing = ", ".join(dict.fromkeys(community[~stated].tolist()))
        raise ConfigError(
            f"tem.permafrost: no soil_carbon.files and no profiles of {missing}. Give soil carbon by depth, or "
            "profiles of every community."
        )
    if columns.area_m2 is None:
        raise InputError(
            "tem.permafrost: no cell_area in the land files; expected it, because cells without soil carbon get "
            "the mean of others by area. Add a file with cell_area to land.files."
        )
    if files:
        places = list(zip(columns.lat.tolist(), columns.lon.tolist(), strict=True))
        observed = read_soil_carbon(files, cells=places, gaps=wanted.soil_carbon.gaps, outside="drop")
        weights = columns.area_m2[columns.cell] * columns.share
        stock = initial_stock(observed, columns.community, columns.cell, weights, carbon_nitrogen=wanted.cn)
        stock = stock._replace(notes=(*observed.attrs["notes"], *stock.notes))
    else:
        nothing = np.zeros((CARBON_THICKNESS_M.size, community.size))
        stock = Stock(nothing, nothing, np.full(community.size, "profile"), ())
    return _with_profiles(stock, wanted, community)


def _check_profiles(wanted: PermafrostCarbon) -> None:
    for name, stocks in wanted.profiles.items():
        if name not in COMMUNITIES:
            raise ConfigError(
                f"tem.permafrost.profiles: {name!r} is unknown; choose one of: {', '.join(COMMUNITIES)}."
            )
        if min(stocks) < 0.0:
            raise ConfigError(
                f"tem.permafrost.profiles.{name} is {', '.join(f'{v:g}' for v in stocks)}; expected four stocks of 0 "
                "or more, kg C m-2. Correct them."
            )


def _with_profiles(stock: Stock, wanted: PermafrostCarbon, community: np.ndarray) -> Stock:
    """The stock with stated profiles where nothing is observed."""
    replaced = np.isin(community, list(wanted.profiles)) & (stock.source != "observed")
    if not replaced.any():
        return stock
    carbon, nitrogen, source = stock.carbon.copy(), stock.nitrogen.copy(), stock.source.astype("U9")
    for name, stocks in wanted.profiles.items():
        here = replaced & (community == name)
        carbon[:, here] = layer_carbon(np.array(stocks)[:, None], smooth=True)
        nitrogen[:, here] = carbon[:, here] / carbon_to_nitrogen(wanted.cn)[:, None]
    source[replaced] = "profile"
    names = ", ".join(sorted(set(community[replaced].tolist())))
    note = (
        f"soil carbon: {int(replaced.sum())} of {community.size} columns have the profile that is stated for their "
        f"community, not a mean ({names})"
    )
    return Stock(carbon, nitrogen, source, (*stock.notes, note))


def thawed_by(
    wanted: PermafrostCarbon, alt: Mapping[int, np.ndarray], what: str = "tem.permafrost"
) -> np.ndarray:
    """Depth above which nothing is frozen at the end of the reference year, m (column,).

    alt : active layer of the years that ran, m. ConfigError where it lacks one of `PermafrostCarbon.thawed_years`.
    """
    deepest: np.ndarray = np.max([alt[year] for year in thawed_years(wanted, min(alt), what)], axis=0)
    return deepest


def thawed_years(wanted: PermafrostCarbon, first_year: int, what: str = "tem.permafrost") -> range:
    """Years whose deepest active layer is not frozen; ConfigError unless they lie in a run from `first_year` on, and
    end with the reference year at the latest."""
    reference = wanted.reference_year
    first, last = wanted.thawed_years or (reference, reference)
    if not first_year <= first <= last <= reference:
        raise ConfigError(
            f"{what}: thawed_years {first}..{last}; expected years of the run, {first_year} or later, up to the "
            f"reference year {reference}. Correct them."
        )
    return range(first, last + 1)


def freeze(stock: Stock, alt: np.ndarray, cn: tuple[float, float] | None = None) -> Permafrost:
    """What is frozen under an active layer `alt` (column,), m, and nothing thawed yet; cn : in place of the nitrogen of
    the stock."""
    nitrogen = stock.nitrogen if cn is None else stock.carbon / carbon_to_nitrogen(cn)[:, None]
    share = frozen_share(alt)
    frozen_c, frozen_n = jnp.asarray(stock.carbon * share), jnp.asarray(nitrogen * share)
    none, depth = jnp.zeros_like(frozen_c), jnp.asarray(alt, jnp.float64)
    return Permafrost(frozen_c, frozen_n, none, none, none, depth, depth)


def write_stock(out: Path, settings: TemSettings, files: Files) -> None:
    """Soil carbon and nitrogen of all columns of a run as a NetCDF file."""
    if settings.permafrost is None:
        raise ConfigError("tem: has no permafrost section. Add one.")
    columns = read_columns(settings, files.paths("land"))
    stock = stock_of(columns, settings.permafrost, files.paths("soil_carbon"))
    edges = bounds(CARBON_THICKNESS_M)
    xr.Dataset(
        {
            "carbon": (("layer", "column"), stock.carbon, {"units": "g m-2"}),
            "nitrogen": (("layer", "column"), stock.nitrogen, {"units": "g m-2"}),
            "source": ("column", stock.source.astype(str)),
        },
        {
            "top": ("layer", edges[:-1], {"units": "m"}),
            "bottom": ("layer", edges[1:], {"units": "m"}),
            "cell": ("column", columns.cell),
        },
        {"notes": json.dumps(stock.notes)},
    ).to_netcdf(out, engine="netcdf4")


def read_stock(path: Path, cells: range) -> Stock:
    """The columns of some cells of a file of `write_stock`."""
    with xr.open_dataset(path, engine="netcdf4") as ds:
        chosen = np.flatnonzero((ds["cell"] >= cells.start) & (ds["cell"] < cells.stop))
        part = ds.isel(column=chosen).load()
        notes = tuple(json.loads(ds.attrs["notes"]))
    return Stock(part["carbon"].to_numpy(), part["nitrogen"].to_numpy(), part["source"].to_numpy(), notes)
