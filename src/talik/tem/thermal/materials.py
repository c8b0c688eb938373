"""What soil layers are made of: thickness of moss and organic soil, and heat properties from texture and moisture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from talik.errors import ConfigError
from talik.tem.thermal.freezing import Layers, layers_from
from talik.tem.thermal.grid import SOIL_THICKNESS_M, bounds

Array = jax.Array
_Entry = TypeVar("_Entry")

K_WATER, K_ICE, K_AIR = 0.60, 2.29, 0.023
"""Conductivity, W m-1 K-1: those of DVM-DOS-TEM and of the Community Land Model before 4.5, which has 0.57 for water
(Oleson et al. 2013)."""
C_WATER, C_ICE = 4.188e6, 2.117e6
"""Heat capacity, J K-1 per m3 of liquid water and of the ice that it becomes (Oleson et al. 2013)."""
LATENT = 3.34e8
"""Heat to melt ice, J per m3 of water: the soil thermal model of TEM (Goodrich 1982, Zhuang et al. 2001)."""
POROSITY_MOSS, POROSITY_FIBRIC, POROSITY_HUMIC = 0.98, 0.95, 0.80
"""Of DVM-DOS-TEM."""
K_ORGANIC, C_ORGANIC = 0.25, 2.5e6
"""Conductivity (W m-1 K-1) and heat capacity (J m-3 K-1) of solid organic matter (Oleson et al. 2013)."""
MOSS_AS_LAYER_M = 0.01
"""Moss that is thicker is an element of its own, with heat; thinner moss is a resistance only."""
_NO_HEAT = 1e-4
"""Areal heat capacity of a layer that is a resistance only, J m-2 K-1: 1e-9 of what a day's heat flux moves."""


class OrganicSoil(NamedTuple):
    """Thickness of live and dead moss, of fibric and of humic organic soil, m, and how wet the soil below the roots is.

    `wetness` is 1 where water stands (95 % of the pores full) and 0 where the soil drains to field capacity.
    `conductivity` and `snow_insulation` are factors for calibration: on the conductivity of moss and organic soil, and
    on the thermal resistance of snow. Numbers of a community, or (cell,) arrays.
    """

    moss_m: Array | float
    fibric_m: Array | float
    humic_m: Array | float
    wetness: Array | float
    conductivity: Array | float = 1.0
    snow_insulation: Array | float = 1.0


ORGANIC = MappingProxyType(
    {
        "alpine_tundra_polar_desert": OrganicSoil(0.005, 0.020, 0.020, 0.3),
        "wet_tundra": OrganicSoil(0.005, 0.101, 0.165, 1.0),
        "boreal_forest": OrganicSoil(0.020, 0.049, 0.115, 0.5),
        "grassland": OrganicSoil(0.0, 0.020, 0.020, 0.3),
        "temperate_conifer": OrganicSoil(0.0, 0.020, 0.050, 0.5),
        "temperate_deciduous": OrganicSoil(0.0, 0.020, 0.050, 0.5),
        "xeric_shrub": OrganicSoil(0.0, 0.0, 0.020, 0.3),
    }
)
"""By community. Tundra and boreal values: DVM-DOS-TEM; the others are ours, for the southern fringe."""


@dataclass(frozen=True, slots=True)
class LegacyLayer:
    """A layer of the published soil thermal model: water in kg per kg of soil (1000 kg m-3); k, c thawed and frozen."""

    thickness_m: float
    water: float
    conductivity: tuple[float, float]
    capacity: tuple[float, float]


_LEGACY_MINERAL = LegacyLayer(42.0, 0.43, (1.20, 2.10), (3100.0, 1700.0))
_FOREST = (
    LegacyLayer(0.20, 0.18, (0.25, 0.15), (1700, 1500)),
    LegacyLayer(0.35, 0.20, (0.50, 1.00), (2600, 2400)),
)
_GRASS = (
    LegacyLayer(0.05, 0.14, (0.25, 0.201), (240, 230)),
    LegacyLayer(2.00, 0.65, (0.20, 1.60), (2600, 2400)),
)
LEGACY = MappingProxyType(
    {
        "alpine_tundra_polar_desert": (
            LegacyLayer(0.22, 0.34, (0.09, 1.20), (1700, 1500)),
            LegacyLayer(0.50, 0.45, (0.20, 1.25), (1700, 1500)),
        ),
        "wet_tundra": (
            LegacyLayer(0.20, 0.35, (0.30, 0.56), (1500, 1200)),
            LegacyLayer(0.60, 0.10, (0.70, 1.50), (1300, 1200)),
        ),
        "boreal_forest": _FOREST,
        "grassland": _GRASS,
        "temperate_conifer": _FOREST,
        "temperate_deciduous": _FOREST,
        "xeric_shrub": _GRASS,
    }
)
"""Moss (or surface) and organic layer by community, over mineral soil: the files of TEM 4.3 with its thermal model."""


class Ground(NamedTuple):
    """What does not change in a cell: shares of the layers by material, and mineral soil.

    moss_m (cell,); fibric, humic, mineral (layer, cell), shares of the 42 soil layers; rooted (layer, cell), 1 where
    the layer's centre is above the rooting depth; porosity, k_solid (W m-1 K-1), c_solid (J m-3 K-1) of the mineral
    soil, deep_saturation below the roots and organic_conductivity, a factor on that of moss and organic soil, (cell,).
    """

    moss_m: Array
    fibric: Array
    humic: Array
    mineral: Array
    rooted: Array
    porosity: Array
    k_solid: Array
    c_solid: Array
    deep_saturation: Array
    organic_conductivity: Array


def organic_for(communities: Sequence[str]) -> OrganicSoil:
    """`ORGANIC` of cells of these communities, fields (cell,). ConfigError for an unknown community."""
    rows = [_entry(ORGANIC, name) for name in communities]
    return OrganicSoil(*(jnp.asarray(column, float) for column in zip(*rows, strict=True)))


def ground_for(
    communities: Sequence[str],
    sand: Array,
    clay: Array,
    rooting_depth_m: Array,
    field_capacity_share: Array,
    organic: OrganicSoil | None = None,
) -> Ground:
    """The ground of cells of these communities. ConfigError for an unknown community.

    sand, clay : (cell,) percent of the mineral soil. field_capacity_share : (cell,) share of the pores that is full of
    water at field capacity. organic : (cell,) values instead of the table's; the result is smooth in thickness but
    where moss becomes a layer. Mineral properties: Johansen (1975) and Clapp and Hornberger (1978) as in the Community
    Land Model 4.5.
    """
    soils = organic_for(communities) if organic is None else organic
    moss, fibric_m, humic_m, wetness, conductivity, _ = (
        jnp.broadcast_to(jnp.asarray(v, sand.dtype), sand.shape) for v in soils
    )
    edges = bounds(SOIL_THICKNESS_M)
    top, bottom = jnp.asarray(edges[:-1, None], sand.dtype), jnp.asarray(edges[1:, None], sand.dtype)

    def share(of_m: Array) -> Array:
        """Share of each layer that lies above a depth."""
        return jnp.clip((of_m - top) / (bottom - top), 0.0, 1.0)

    fibric, organic_share = share(fibric_m), share(fibric_m + humic_m)
    coarse = jnp.maximum(sand + clay, 1e-6)
    silty = sand + clay < 1.0
    return Ground(
        moss_m=moss,
        fibric=fibric,
        humic=organic_share - fibric,
        mineral=1.0 - organic_share,
        rooted=(0.5 * (top + bottom) < rooting_depth_m).astype(sand.dtype),
        porosity=0.489 - 0.00126 * sand,
        k_solid=jnp.where(silty, 2.92, (8.80 * sand + 2.92 * clay) / coarse),
        c_solid=jnp.where(silty, 2.385e6, (2.128e6 * sand + 2.385e6 * clay) / coarse),
        deep_saturation=saturation_below_roots(wetness, field_capacity_share),
        organic_conductivity=conductivity,
    )


def saturation_below_roots(wetness: Array | float, field_capacity_share: Array) -> Array:
    """Share of the pores below the roots that is full: between field capacity (wetness 0) and 0.95 (wetness 1)."""
    return wetness * 0.95 + (1.0 - wetness) * field_capacity_share


class _Material(NamedTuple):
    """Heat capacity (J m-3 K-1), latent heat (J m-3) and resistivity (m K W-1) of a material at some moisture."""

    capacity_frozen: Array
    capacity_thawed: Array
    latent: Array
    resistivity_frozen: Array
    resistivity_thawed: Array


def _material(
    saturation: Array, porosity: Array | float, k_solid: Array | float, c_solid: Array | float, k_dry: Array
) -> _Material:
    """Johansen (1975): conductivity between dry and saturated by the Kersten number, frozen and thawed apart."""
    water = saturation * porosity
    solid = c_solid * (1.0 - porosity)
    matrix = k_solid ** (1.0 - porosity)
    thawed_kersten = jnp.clip(jnp.log10(jnp.maximum(saturation, 1e-3)) + 1.0, 0.0, 1.0)
    frozen = saturation * matrix * K_ICE**porosity + (1.0 - saturation) * k_dry
    thawed = thawed_kersten * matrix * K_WATER**porosity + (1.0 - thawed_kersten) * k_dry
    return _Material(
        solid + C_ICE * water, solid + C_WATER * water, LATENT * water, 1.0 / frozen, 1.0 / thawed
    )


def _organic(saturation: Array, porosity: float, ground: Ground) -> _Material:
    k_dry = jnp.full_like(saturation, K_ORGANIC ** (1.0 - porosity) * K_AIR**porosity)
    found = _material(saturation, porosity, K_ORGANIC, C_ORGANIC, k_dry)
    return found._replace(
        resistivity_frozen=found.resistivity_frozen / ground.organic_conductivity,
        resistivity_thawed=found.resistivity_thawed / ground.organic_conductivity,
    )


def _mineral(saturation: Array, ground: Ground) -> _Material:
    density = 2700.0 * (1.0 - ground.porosity)
    k_dry = (0.135 * density + 64.7) / (2700.0 - 0.947 * density)
    return _material(saturation, ground.porosity, ground.k_solid, ground.c_solid, k_dry)


def physical_layers(saturation: Array, ground: Ground) -> Layers:
    """`Layers` (43, cell) of moss, fibric, humic and mineral soil when the root zone is at `saturation` (cell,), 0..1.

    Water is spread over the pores of the moss and of every layer whose centre lies above the rooting depth; below,
    `Ground.deep_saturation` holds. In a layer of two materials heat capacities add by volume and resistances in series.
    """
    moss = _organic(saturation, POROSITY_MOSS, ground)
    mixed = []
    for deep in (False, True):
        share = ground.deep_saturation if deep else saturation
        parts = (
            _organic(share, POROSITY_FIBRIC, ground),
            _organic(share, POROSITY_HUMIC, ground),
            _mineral(share, ground),
        )
        weights = (ground.fibric, ground.humic, ground.mineral)
        mixed.append(
            [
                sum(w * getattr(m, name) for w, m in zip(weights, parts, strict=True))
                for name in _Material._fields
            ]
        )
    soil = _Material(*(jnp.where(ground.rooted > 0.0, wet, deep) for wet, deep in zip(*mixed, strict=True)))
    thickness = jnp.asarray(SOIL_THICKNESS_M[:, None], saturation.dtype)
    return _with_moss(moss, ground.moss_m, soil, thickness)


def _with_moss(moss: _Material, moss_m: Array, soil: _Material, thickness: Array) -> Layers:
    below = layers_from(
        thickness,
        soil.capacity_frozen,
        soil.capacity_thawed,
        soil.latent,
        1.0 / soil.resistivity_frozen,
        1.0 / soil.resistivity_thawed,
    )
    above = layers_from(
        jnp.maximum(moss_m, MOSS_AS_LAYER_M),
        moss.capacity_frozen,
        moss.capacity_thawed,
        moss.latent,
        1.0 / moss.resistivity_frozen,
        1.0 / moss.resistivity_thawed,
    )
    only_resistance = Layers(
        per_heat_frozen=jnp.full_like(moss_m, 1.0 / _NO_HEAT),
        per_heat_thawed=jnp.full_like(moss_m, 1.0 / _NO_HEAT),
        latent=jnp.zeros_like(moss_m),
        per_latent=jnp.zeros_like(moss_m),
        half_resistance=jnp.maximum(
            0.5 * moss_m * moss.resistivity_thawed, 1e-6
        ),  # a step of 0 s divides by it
        log_ratio=jnp.zeros_like(moss_m),
    )
    is_layer = moss_m > MOSS_AS_LAYER_M
    top = Layers(*(jnp.where(is_layer, a, b) for a, b in zip(above, only_resistance, strict=True)))
    return Layers(*(jnp.concatenate([a[None], b]) for a, b in zip(top, below, strict=True)))


def legacy_layers(communities: Sequence[str]) -> Layers:
    """`Layers` (43, cell) of the published soil thermal model, whose water never changes."""
    columns = [_legacy_column(_entry(LEGACY, name)) for name in communities]
    stacked = [jnp.asarray(np.stack(values, axis=-1)) for values in zip(*columns, strict=True)]
    return _with_moss(
        _Material(*(s[0] for s in stacked[1:])),
        stacked[0][0],
        _Material(*(s[1:] for s in stacked[1:])),
        jnp.asarray(SOIL_THICKNESS_M[:, None]),
    )


def _legacy_column(layers: tuple[LegacyLayer, LegacyLayer]) -> list[np.ndarray]:
    """Thickness and the fields of `_Material` of one column, each (43,): moss, then the 42 soil layers."""
    moss, organic = layers
    edges = bounds(SOIL_THICKNESS_M)
    share = np.concatenate([[0.0], np.clip((organic.thickness_m - edges[:-1]) / SOIL_THICKNESS_M, 0.0, 1.0)])

    def mixed(of: list[float]) -> np.ndarray:
        """Moss, organic and mineral values spread over the layers."""
        values = share * of[1] + (1.0 - share) * of[2]
        values[0] = of[0]
        return values

    three = [moss, organic, _LEGACY_MINERAL]
    return [
        np.concatenate([[moss.thickness_m], SOIL_THICKNESS_M]),
        mixed([1000.0 * m.capacity[1] for m in three]),
        mixed([1000.0 * m.capacity[0] for m in three]),
        mixed([LATENT * m.water for m in three]),
        mixed([1.0 / m.conductivity[1] for m in three]),
        mixed([1.0 / m.conductivity[0] for m in three]),
    ]


def _entry(table: Mapping[str, _Entry], name: str) -> _Entry:
    if name not in table:
        raise ConfigError(f"community {name!r} is unknown; choose one of: {', '.join(ORGANIC)}.")
    return table[name]
