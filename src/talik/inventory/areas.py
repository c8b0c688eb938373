"""Areas of land-cover classes with limits, million km2, from a BAWLD cover grid or as published."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, CoverageError, InputError
from talik.inventory.classes import LAND, WATER, Rockland, inventory_class
from talik.inventory.limits import Limited
from talik.posts.published import components

Array = npt.NDArray[np.float64]

M2_PER_MKM2 = 1e12
DOMAIN_MKM2 = 18.42
"""The northern permafrost region without glaciers (Hugelius et al. 2024)."""
LEAST_SHARE = 0.9
"""Share of the domain that classes must fill: the five alone, without waters, are 0.93 of the published one."""
TOLERANCE = 0.005
"""Share by which classes may exceed the domain, for areas that are printed rounded."""
WETLAND_LIMITS = (2.8 / 3.2, 3.8 / 3.2)
"""95 % limits over the mean of all wetlands of BAWLD (Olefeldt et al. 2021)."""


def published_areas(wetlands: tuple[float, float] = WETLAND_LIMITS) -> dict[str, Limited]:
    """Areas of the five land-cover classes and of inland waters as printed (Hugelius et al. 2024).

    They are printed without limits. wetlands : relative limits that the three wetland classes get (those of BAWLD as
    a whole by default); uplands and waters have none.
    """
    printed = {post.id: post.area_mkm2 for post in components() if post.area_mkm2 is not None}
    out = {}
    for name in (*LAND, WATER):
        area = printed[f"inventory.{name}"]
        low, high = wetlands if name in LAND and LAND[name].group == "wetlands" else (1.0, 1.0)
        out[name] = Limited(area, area * low, area * high)
    return out


def cover_areas(cover: xr.Dataset, rockland: Rockland = "exclude") -> dict[str, Limited]:
    """Areas of the inventory's classes on the cells of a BAWLD cover grid, and of what is left out.

    cover : from `talik.sources.bawld.read_bawld`. Low and high columns are added up over cells and classes, which
    takes their errors as fully correlated. `rockland` and `glacier` are among the keys where they are left out.
    """
    by_code = _by_code(cover)
    out: dict[str, Limited] = {}
    for code, area in by_code.items():
        name = inventory_class(code, rockland) or {"ROC": "rockland", "GLA": "glacier"}[code]
        held = out.get(name, Limited(0.0, 0.0, 0.0))
        out[name] = Limited(*(a + b for a, b in zip(held, area, strict=True)))
    return out


def wetland_shares(cover: xr.Dataset) -> dict[str, float]:
    """Area (million km2) of every BAWLD class by code."""
    return {code: area.mean for code, area in _by_code(cover).items()}


def class_weight(cover: xr.Dataset, land: str, rockland: Rockland = "exclude") -> Array:
    """Area (cell,) of an inventory class on each cell, m2."""
    mine = [code for code in cover["cover"].to_numpy() if inventory_class(str(code), rockland) == land]
    return np.asarray(cover["fraction"].sel(cover=mine).sum("cover") * cover["cell_area"])


def _by_code(cover: xr.Dataset) -> dict[str, Limited]:
    names = ["fraction", *(f"fraction_{end}" for end in ("low", "high") if f"fraction_{end}" in cover)]
    sums = {name: (cover[name] * cover["cell_area"]).sum("cell").to_numpy() / M2_PER_MKM2 for name in names}
    mean = sums["fraction"]
    low, high = sums.get("fraction_low", mean), sums.get("fraction_high", mean)
    codes = [str(code) for code in cover["cover"].to_numpy()]
    return {
        code: Limited(float(m), float(min(a, m)), float(max(b, m)))
        for code, m, a, b in zip(codes, mean, low, high, strict=True)
    }


def checked_areas(areas: Mapping[str, Limited], domain: float, where: str) -> dict[str, Limited]:
    """The same areas, or the error that says why they cannot be.

    ConfigError: an unknown class, negative or crossed limits. CoverageError: classes that together exceed the `domain`,
    million km2, or fill less than `LEAST_SHARE` of it.
    """
    for name, area in areas.items():
        if name not in (*LAND, WATER, "rockland", "glacier"):
            raise ConfigError(
                f"{where}: land-cover class {name!r} is unknown; choose from: {', '.join((*LAND, WATER))}."
            )
        if not 0.0 <= area.low <= area.mean <= area.high:
            raise ConfigError(
                f"{where}: area of {name} is {area.mean:g} ({area.low:g}, {area.high:g}) million km2; expected "
                "limits of 0 or more, the lower one first, around the mean."
            )
    total = sum(area.mean for name, area in areas.items() if name != "glacier")
    if total > domain * (1.0 + TOLERANCE):
        raise CoverageError(
            f"{where}: classes add up to {total:.4g} million km2, the domain has {domain:.4g}. Leave out what lies "
            "outside, or give area_mkm2 of the domain."
        )
    if not total > 0.0:
        raise InputError(f"{where}: no class has any area.")
    require_coverage(sum(area.mean for area in areas.values()), domain, where)
    return dict(areas)


def require_coverage(total: float, domain: float, where: str) -> None:
    """CoverageError if an area of `total` is no inventory of the `domain`, million km2."""
    if total < LEAST_SHARE * domain:
        raise CoverageError(
            f"{where}: covers {total:.3g} million km2, {100 * total / domain:.2g} % of the domain's {domain:.4g}. Give "
            "the whole domain, or the region and area_mkm2 that this is."
        )
