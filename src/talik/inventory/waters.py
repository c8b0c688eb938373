"""Lakes and rivers: class areas times fluxes, with limits, as totals, as a flux dataset and as budget posts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.polynomial import chebyshev

from talik.errors import ConfigError
from talik.flux.dataset import make_flux_dataset
from talik.flux.table import mass_ratio
from talik.inventory.classes import LAKES, RIVERS
from talik.inventory.limits import Limited, draws_of, of_draws
from talik.inventory.water_cells import WATERS, WaterCells, water_cells
from talik.inventory.water_densities import (
    DAYS,
    Array,
    WaterSettings,
    density_of,
    lake_diffusion,
    shore_share,
    with_ebullition,
)
from talik.posts.distributions import Z
from talik.posts.post import GASES, Post

Gas = Literal["CO2", "CH4", "N2O"]
_MG_TO_TG, _G_TO_TG, _KM2 = 1e-15, 1e-12, 1e-12
_SOURCE = (
    "land cover of BAWLD (Olefeldt et al. 2021); lake CH4 as in the scaling scripts of Kuhn et al., "
    "river CH4 of Stanley et al. (2016)"
)


@dataclass(frozen=True, slots=True)
class WaterClass:
    """One class of water: area (1e6 km2), flux (Tg yr-1) and best density (g m-2 yr-1 of water), of the element."""

    area_mkm2: Limited
    flux: Limited
    density: float


@dataclass(frozen=True, slots=True)
class WaterTotals:
    """Flux of one gas from inland waters to the atmosphere, in `unit` (mass of the element), with 95 % limits.

    `density_only` and `area_only` have the limits that one of the two errors alone would give. `central` is the total
    with central coefficients and areas as given. `coverage` is the share of the water area that is in the totals.
    """

    gas: Gas
    unit: str
    total: Limited
    lakes: Limited
    rivers: Limited
    density_only: Limited
    area_only: Limited
    central: float
    area_mkm2: Mapping[str, Limited]
    classes: Mapping[str, WaterClass]
    coverage: float
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        named = ("total", "lakes", "rivers", "density_only", "area_only")
        return {
            "gas": self.gas,
            "unit": self.unit,
            **{name: getattr(self, name)._asdict() for name in named},
            "central": self.central,
            "area_mkm2": {name: area._asdict() for name, area in self.area_mkm2.items()},
            "classes": {
                code: {
                    "area_mkm2": row.area_mkm2._asdict(),
                    "flux": row.flux._asdict(),
                    "density_g_m2_yr": row.density,
                }
                for code, row in self.classes.items()
            },
            "coverage": self.coverage,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Model:
    """Flux = weight x density, for thermal classes x 10^(slope T).

    `weight` (limit, class, cell) is in Tg yr-1 per unit of density; `thermal` (class) says which depend on temperature;
    `density` (class, draw) and `central` (class) are the densities, at 0 degC where thermal; `slope` (draw).
    """

    weight: Array
    thermal: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    density: Array
    central: Array
    slope: Array
    cells: WaterCells


def waters(cover: xr.Dataset, settings: WaterSettings | None = None, gas: Gas = "CH4") -> WaterTotals:
    """Flux of `gas` from the lakes and rivers of a land-cover Dataset, by class and in total, with limits.

    cover : `fraction` (cover, cell; 0-1), `cell_area` (cell; m2, that inside the domain), for built-in CH4 `tair`
    (cell, month; degC) or `ice_free_days` (cell; d), and `tair_annual` (cell; degC). Optional: `fraction_low` and
    `fraction_high`, `lake_area` (cover, cell; m2, of one lake). All with units; other classes are ignored.

    Errors of coefficients are the same in all cells, those of the area of a class too. Positive is to the atmosphere.
    ConfigError: CO2 or N2O without densities. InputError, UnitsError, CoverageError: the data.
    """
    options = settings or WaterSettings()
    model = _model(cover, options, gas)
    sums = _sums(model, model.slope)
    central_sums = _sums(model, np.array([_slope(options)]))
    z = _area_scores(options)
    still = np.zeros_like(z)
    parts = _at_areas(sums, still) * model.density
    every = _at_areas(sums, z) * model.density
    areas = _at_areas(np.repeat(central_sums, z.shape[1], axis=0), z) * model.central[:, None]
    central = central_sums[0, 0] * model.central
    best = parts.mean(axis=1) if options.best == "mean" else central

    def limits(draws: Array, codes: Sequence[str]) -> Limited:
        rows = [WATERS.index(code) for code in codes]
        return of_draws(draws[rows].sum(axis=0), float(best[rows].sum()))

    area = model.cells.area.sum(axis=2) * _KM2
    area_draws = _at_areas(np.repeat(area[None], z.shape[1], axis=0), z)

    def area_limits(codes: Sequence[str]) -> Limited:
        rows = [WATERS.index(code) for code in codes]
        return of_draws(area_draws[rows].sum(axis=0), float(area[0, rows].sum()))

    return WaterTotals(
        gas=gas,
        unit=GASES[gas],
        total=limits(every, WATERS),
        lakes=limits(every, LAKES),
        rivers=limits(every, RIVERS),
        density_only=limits(parts, WATERS),
        area_only=_moved(areas.sum(axis=0), float(central.sum()), float(best.sum())),
        central=float(central.sum()),
        area_mkm2={"total": area_limits(WATERS), "lakes": area_limits(LAKES), "rivers": area_limits(RIVERS)},
        classes={
            code: WaterClass(
                area_mkm2=Limited(*(float(a) for a in area[:, row])),
                flux=limits(every, (code,)),
                density=float(best[row] / area[0, row]) if area[0, row] else 0.0,
            )
            for row, code in enumerate(WATERS)
        },
        coverage=model.cells.coverage,
        notes=model.cells.notes,
    )


def water_flux(cover: xr.Dataset, settings: WaterSettings | None = None) -> xr.Dataset:
    """CH4 of inland waters cell by cell: a flux dataset with `fch4` (cell), kg C m-2 s-1 of the cell, positive up.

    The whole cell counts as land, as in BAWLD, where waters and land cover fill it. `water_fraction` is the share of
    the cell that is water: `fch4` divided by it is the flux per area of water. A cell without temperature is NaN.
    Summed over cell area the fluxes are the best total of `waters`. For `cover` and errors see there.
    """
    options = settings or WaterSettings()
    model = _model(cover, options, "CH4")
    cells = model.cells
    if options.best == "central":
        growth = (10.0 ** (_slope(options) * cells.tair))[None]
        thermal = model.central[:, None] * growth
        plain = model.central[:, None]
    else:
        parts, growth = _growth(cells.tair, model.slope)
        thermal = (model.density @ parts / model.slope.size) @ growth
        plain = model.density.mean(axis=1, keepdims=True)
    density = np.where(model.thermal[:, None], thermal, plain)
    tg = (model.weight[0] * density).sum(axis=0)
    inside = cover["cell_area"].where(cover["cell_area"] > 0)
    flux = xr.DataArray(tg * 1e9 / (DAYS * 86_400.0), dims="cell", coords=_cell_coordinates(cover)) / inside
    known = xr.DataArray(cells.known, dims="cell", coords=flux.coords)
    water = xr.DataArray(cells.area[0].sum(axis=0), dims="cell", coords=flux.coords) / inside
    flux = flux.where(known).assign_attrs(units="kg m-2 s-1", species="C", positive="up", area_basis="land")
    ds = make_flux_dataset(
        {"fch4": flux},
        approach="inventory",
        source=_SOURCE,
        coverage=known.astype(float),
        title="CH4 of lakes and rivers",
        config_key=options.key(),
    )
    ds["water_fraction"] = water.assign_attrs(units="1", long_name="share of the cell that is lake or river")
    ds["cell_area"] = cover["cell_area"]
    return ds


def water_posts(
    totals: Sequence[WaterTotals], *, region: str, period: str, source: str = _SOURCE
) -> list[Post]:
    """Posts of inland waters, and of lakes and rivers as parts of it, for each of `totals`.

    The note says the coverage and what was assumed. PostError: an empty region or a period that is not "2000-2020".
    """
    posts = []
    for found in totals:
        note = " ".join((f"{100 * found.coverage:.4g} % of the water area is covered.", *found.notes))
        for name, number, area in (
            ("inland_waters", found.total, "total"),
            ("lakes", found.lakes, "lakes"),
            ("rivers", found.rivers, "rivers"),
        ):
            posts.append(
                Post(
                    id=f"inventory.{name}",
                    gas=found.gas,
                    mean=number.mean,
                    low=number.low,
                    high=number.high,
                    unit=found.unit,
                    region=region,
                    period=period,
                    approach="inventory",
                    source=source,
                    part_of=None if name == "inland_waters" else "inventory.inland_waters",
                    origin="non-fossil" if found.gas == "CH4" else None,
                    covers=frozenset({"inland_waters"}) if name == "inland_waters" else frozenset(),
                    partly=frozenset() if name == "inland_waters" else frozenset({"inland_waters"}),
                    area_mkm2=found.area_mkm2[area].mean,
                    note=note,
                )
            )
    return posts


def _model(cover: xr.Dataset, options: WaterSettings, gas: Gas) -> _Model:
    """Weights and densities of every class: of the settings where they hold any for the gas, else built in."""
    if gas not in ("CO2", "CH4", "N2O"):
        raise ConfigError(f"gas {gas!r} is unknown; choose one of: CO2, CH4, N2O.")
    if gas in options.densities:
        return _from_densities(cover, options, gas)
    if gas != "CH4":
        raise ConfigError(
            f"inland waters: there is no built-in number for {gas}. Give densities in g m-2 yr-1 of "
            f"{_element(gas)} with limits (densities: {{{gas}: {{lakes: [mean, low, high], rivers: [...]}}}}), or "
            "leave it out here and add a post inventory.inland_waters from your own total or flux dataset."
        )
    cells = water_cells(cover, options, thermal=True)
    carbon = mass_ratio("CH4", "C") * _MG_TO_TG
    weight = cells.area * cells.days * carbon
    for row, code in enumerate(LAKES):
        share = options.ebullition[code]
        where: Array | float = 1.0
        if code in options.shores:
            shore = options.shores[code]
            size = np.where(np.isfinite(cells.lake_area[row]), cells.lake_area[row], shore.area)
            where = shore_share(size, shore.shape, options.shore_width)
        weight[:, row] *= with_ebullition(share, where) * options.diel * options.ice_out
    intercept = _draws(options, "intercept", options.intercept)
    numbers = {**options.offset, **options.rivers}
    lakes = [lake_diffusion(0.0, _draws(options, f"offset {c}", numbers[c]), intercept, 0.0) for c in LAKES]
    rivers = [np.maximum(_draws(options, f"river {tuple(numbers[c])}", numbers[c]), 0.0) for c in RIVERS]
    at_zero = [float(lake_diffusion(0.0, numbers[c].mean, options.intercept.mean, 0.0)) for c in LAKES]
    return _Model(
        weight=weight,
        thermal=np.array([code in LAKES for code in WATERS]),
        density=np.stack([*lakes, *rivers]),
        central=np.array([*at_zero, *(numbers[c].mean for c in RIVERS)]),
        slope=_draws(options, "slope", options.slope),
        cells=cells,
    )


def _from_densities(cover: xr.Dataset, options: WaterSettings, gas: Gas) -> _Model:
    """The model of densities that the user gives."""
    table = options.densities[gas]
    rows = {code: density_of(table, code) for code in WATERS}
    absent = [code for code, row in rows.items() if row is None]
    if absent:
        raise ConfigError(
            f"inland waters: densities of {gas} lack {', '.join(absent)}. Give these classes, or lakes and rivers."
        )
    named = [row for row in rows.values() if row is not None]
    cells = water_cells(cover, options, thermal=False)
    return _Model(
        weight=cells.area * _G_TO_TG,
        thermal=np.zeros(len(WATERS), bool),
        density=np.stack([_draws(options, f"{gas} {name}", number) for name, number in named]),
        central=np.array([number.mean for _, number in named]),
        slope=np.zeros(options.draws),
        cells=cells,
    )


def _element(gas: Gas) -> str:
    """The element whose mass counts: N for N2O, else C."""
    return "N" if gas == "N2O" else "C"


def _slope(options: WaterSettings) -> float:
    return options.slope.mean


def _draws(options: WaterSettings, name: str, number: Limited) -> Array:
    return draws_of(number, options.draws, options.seed, f"inland waters {name}")


def _growth(tair: Array, slopes: Array) -> tuple[Array, Array]:
    """Parts (draw, node) and (node, cell) whose product is 10^(slope T) of every draw and cell.

    Polynomials through Chebyshev nodes in the slope, enough of them to be exact to rounding: a hundred times cheaper.
    """
    middle, half = (slopes.max() + slopes.min()) / 2, max((slopes.max() - slopes.min()) / 2, 1e-12)
    reach = math.log(10.0) * half * float(np.abs(tair).max(initial=0.0))
    nodes = chebyshev.chebpts1(24 + math.ceil(2.0 * reach))
    degree = nodes.size - 1
    basis = chebyshev.chebvander(nodes, degree)
    parts = np.linalg.solve(basis.T, chebyshev.chebvander((slopes - middle) / half, degree).T).T
    return np.asarray(parts, np.float64), np.power(10.0, np.outer(middle + half * nodes, tair))


def _sums(model: _Model, slopes: Array) -> Array:
    """(draw, limit, class) sums over cells of weight, times 10^(slope T) for thermal classes."""
    out = np.broadcast_to(model.weight.sum(axis=2), (slopes.size, *model.weight.shape[:2])).copy()
    if model.thermal.any():
        parts, growth = _growth(model.cells.tair, slopes)
        at_nodes = np.einsum("nc,lkc->nlk", growth, model.weight[:, model.thermal], optimize=True)
        out[:, :, model.thermal] = np.tensordot(parts, at_nodes, axes=1)
    return out


def _area_scores(options: WaterSettings) -> Array:
    """(class, draw) standard normal scores of class areas."""
    one = Limited(0.0, -Z, Z)
    own = np.stack([_draws(options, f"area {code}", one) for code in WATERS])
    r = options.class_area_correlation
    return np.asarray(np.sqrt(r) * _draws(options, "area", one) + np.sqrt(1.0 - r) * own)


def _at_areas(sums: Array, z: Array) -> Array:
    """(class, draw) sums at area scores `z`: straight from the given area to its limits and on, never below 0."""
    given, low, high = (sums[:, k].T for k in range(3))
    spread = np.where(z > 0, high - given, given - low)
    return np.asarray(np.maximum(given + spread * z / Z, 0.0))


def _moved(draws: Array, central: float, best: float) -> Limited:
    """Limits of draws about `central`, in proportion about `best`."""
    scale = best / central if central else 1.0
    return of_draws(draws * scale, best)


def _cell_coordinates(cover: xr.Dataset) -> dict[str, Any]:
    """Coordinates of the cells: their names, latitude, longitude."""
    return {str(n): c for n, c in cover.coords.items() if c.dims == ("cell",)}
