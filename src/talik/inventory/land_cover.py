"""The inventory equation: area of each land-cover class times its annual flux density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from talik.errors import InputError
from talik.flux.table import mass_ratio
from talik.inventory.class_sites import Density
from talik.inventory.classes import LAND
from talik.inventory.density_table import ELEMENT
from talik.inventory.limits import Limited, draws_of, of_draws
from talik.posts import GASES, Post

GAS_MASS_MATCH = 0.08
"""How near the ratios of two sets of densities come to that of gas mass to element mass where they are taken for it."""
GROUPS = ("uplands", "wetlands")


@dataclass(frozen=True, eq=False)
class ClassFlux:
    """A class: area (million km2), density (g m-2 yr-1 of the element, up) and flux (Tg yr-1 of the element, up).

    of_density, of_area : limits of the flux if only the density or only the area were uncertain.
    """

    density: Density
    area: Limited
    flux: Limited
    of_density: Limited
    of_area: Limited

    @property
    def land(self) -> str:
        """Id of the class."""
        return self.density.land

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        d = self.density
        return {
            "class": d.land,
            "gas": d.gas,
            "area_mkm2": self.area._asdict(),
            "density_g_m2_yr": d.value._asdict(),
            "flux_tg_yr": self.flux._asdict(),
            "density_only": self.of_density._asdict(),
            "area_only": self.of_area._asdict(),
            "source": d.source,
            "sites": d.sites,
            "values": d.values,
            "notes": list(d.notes),
        }


def class_flux(area: Limited, density: Density, seed: int) -> ClassFlux:
    """Area times density with limits from draws of both, which are independent; g m-2 yr-1 x million km2 = Tg yr-1.

    Where the density's limits hold those of an area already, the area adds none.
    """
    mean = area.mean * density.value.mean
    if density.holds_area:
        whole = density.value.times(area.mean)
        return ClassFlux(density, area, whole, whole, Limited(mean, mean, mean))
    size = draws_of(area, density.draws.size, seed, f"area of {density.land}")
    ends = sorted((density.value.mean * area.low, density.value.mean * area.high))
    return ClassFlux(
        density,
        area,
        of_draws(size * density.draws, mean),
        density.value.times(area.mean),
        Limited(mean, *ends),
    )


def posts(fluxes: Sequence[ClassFlux], region: str, period: str) -> list[Post]:
    """Budget posts of the classes of one gas, and of uplands and wetlands, which add limits in step.

    InputError: not all five classes, or several gases.
    """
    gases = {f.density.gas for f in fluxes}
    if len(gases) != 1 or {f.land for f in fluxes} != set(LAND):
        raise InputError(
            f"inventory: posts need one gas and the classes {', '.join(LAND)}; found {', '.join(sorted(gases))} of "
            f"{', '.join(f.land for f in fluxes)}."
        )
    gas = gases.pop()
    out = [_post(f, gas, region, period) for f in fluxes]
    for group in GROUPS:
        mine = [f for f in fluxes if LAND[f.land].group == group]
        total = Limited(*(sum(ends) for ends in zip(*(f.flux for f in mine), strict=True)))
        out.append(
            Post(
                id=f"inventory.{group}",
                mean=total.mean,
                low=total.low,
                high=total.high,
                source=f"sum of {', '.join(LAND[f.land].name for f in mine)}",
                area_mkm2=sum(f.area.mean for f in mine),
                covers=_covers(group),
                note="Limits of the classes are added in step.",
                **_common(gas, region, period),
            )
        )
    return out


def _post(flux: ClassFlux, gas: str, region: str, period: str) -> Post:
    land, d = LAND[flux.land], flux.density
    held = f", {d.values} values of {d.sites} sites" if d.sites else ""
    return Post(
        id=land.post,
        mean=flux.flux.mean,
        low=flux.flux.low,
        high=flux.flux.high,
        source=f"{d.source}{held}, times area",
        part_of=f"inventory.{land.group}",
        area_mkm2=flux.area.mean,
        covers=_covers(land.group),
        note=". ".join(note.rstrip(".") for note in d.notes),
        **_common(gas, region, period),
    )


def _common(gas: str, region: str, period: str) -> dict[str, Any]:
    return {
        "gas": gas,
        "unit": GASES[gas],
        "region": region,
        "period": period,
        "approach": "inventory",
        "origin": "non-fossil" if gas == "CH4" else None,
    }


def _covers(group: str) -> frozenset[str]:
    """Wetlands hold those that abrupt thaw has made."""
    return frozenset({"vegetation_soil", "winter", *(("abrupt_thaw",) if group == "wetlands" else ())})


def suspect_gas_mass(own: Mapping[str, Density], other: Mapping[str, Density]) -> str | None:
    """What is said where densities of several classes are those of another source times gas mass over element mass.

    Needs three classes that both have; None if nothing is suspect. The other source must be of other data.
    """
    both = [name for name in own if name in other and other[name].value.mean != 0.0]
    if len(both) < 3:
        return None
    gas = own[both[0]].gas
    element = ELEMENT[gas]
    ratio = np.array([own[name].value.mean / other[name].value.mean for name in both])
    expected = mass_ratio(element, gas)
    if np.abs(ratio / expected - 1.0).max() > GAS_MASS_MATCH:
        return None
    return (
        f"densities of {gas} of {own[both[0]].source} are {expected:.3f} times those of {other[both[0]].source} in all "
        f"{len(both)} common classes: they look like mass of {gas}, not of {element}. Divide them, write the units "
        f"as mass of {gas}, or set check_gas_mass: false if they are right."
    )
