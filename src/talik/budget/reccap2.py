"""The recipe of the published bottom-up budget of the northern permafrost region (RECCAP2).

Hugelius et al. 2024, Global Biogeochem. Cycles 38, e2023GB007969; its components are `talik.posts.published`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from talik.config import Frozen
from talik.posts import Accept, Recipe, Term
from talik.posts.published import PERIOD, REGION

PROCESS = {"all": "process.nee_fire", "layered": "process.nee_fire_layered"}


class Reccap2Options(Frozen):
    """Choices where the published recipe could be read another way; defaults reproduce the print."""

    land_cover: Literal["sums", "classes"] = "sums"
    """Add the printed sums of uplands and wetlands, or the five classes (narrower when drawn)."""
    process: Literal["all", "layered"] = "all"
    """All 26 process models with fire, or the 14 of them with layered soil carbon."""
    include_geological: bool = False
    """Add geological CH4 (1.5 Tg CH4-C a year), which the published natural total leaves out."""
    overlap_area_mkm2: Annotated[float, Field(ge=0)] = 1.38
    """Inland waters plus abrupt-thaw wetlands, which process models treat as upland."""
    total_area_mkm2: Annotated[float, Field(gt=0)] = 17.05
    """Sum of the land-cover classes."""


def recipes(options: Reccap2Options | None = None) -> list[Recipe]:
    """The nine derived posts of the integrated budget, for each gas that has them."""
    o = options or Reccap2Options()
    return [
        *_inventory_land(o),
        *_process_land(o),
        *_vegetated_land(),
        *_natural(o),
        *_with_anthropogenic(),
        *_stock_change(),
    ]


def _recipe(
    post_id: str,
    gas: str,
    terms: list[Term | str],
    op: Literal["sum", "mean"] = "sum",
    accept: tuple[Accept, ...] = (),
    note: str = "",
) -> Recipe:
    return Recipe(
        id=post_id,
        gas=gas,
        op=op,
        terms=tuple(t if isinstance(t, Term) else Term(t, gas) for t in terms),
        region=REGION,
        period=PERIOD,
        accept=accept,
        note=note,
    )


def _inventory_land(o: Reccap2Options) -> list[Recipe]:
    classes = {
        "sums": ["inventory.uplands", "inventory.wetlands"],
        "classes": [
            "inventory.boreal_forest",
            "inventory.dry_tundra",
            "inventory.permafrost_free_wetland",
            "inventory.permafrost_bog",
            "inventory.tundra_wetland",
        ],
    }[o.land_cover]
    return [
        _recipe("bottom_up.inventory_land", gas, [*classes, "inventory.fires"])
        for gas in ("CO2", "CH4", "N2O")
    ]


def _process_land(o: Reccap2Options) -> list[Recipe]:
    kept = 1 - o.overlap_area_mkm2 / o.total_area_mkm2
    why = (
        f"1 - {o.overlap_area_mkm2:g}/{o.total_area_mkm2:g}: without the area of inland waters and abrupt-thaw "
        "wetlands, which process models treat as upland"
    )
    nee = PROCESS[o.process]
    return [
        _recipe(
            "bottom_up.process_land",
            "CO2",
            [Term(nee, "CO2", kept, why), "inventory.abrupt_thaw_wetlands"],
            accept=(Accept("period", nee, "model runs span 1980 to between 2005 and 2020"),),
        ),
        _recipe(
            "bottom_up.process_land",
            "CH4",
            ["process.wetland_ch4", "inventory.abrupt_thaw_wetlands"],
            note="No area factor: wetland extent is prescribed in these models.",
        ),
    ]


def _vegetated_land() -> list[Recipe]:
    pair: list[Term | str] = ["bottom_up.inventory_land", "bottom_up.process_land"]
    return [
        *(_recipe("bottom_up.vegetated_land", gas, pair, "mean") for gas in ("CO2", "CH4")),
        _recipe(
            "bottom_up.vegetated_land",
            "N2O",
            ["bottom_up.inventory_land"],
            note="No process model gives N2O.",
        ),
    ]


def _natural(o: Reccap2Options) -> list[Recipe]:
    out = []
    for gas in ("CO2", "CH4", "N2O"):
        terms: list[Term | str] = ["bottom_up.vegetated_land", "inventory.inland_waters"]
        note = ""
        if gas == "CH4" and o.include_geological:
            terms.append("inventory.geological")
        elif gas == "CH4":
            note = "Geological CH4 is left out, as published; the inversions contain it."
        out.append(_recipe("bottom_up.natural", gas, terms, note=note))
    ends = {"CO2": "", "CH4": "CH4 inversions end in 2017", "N2O": "N2O inversions end in 2019"}
    for gas, why in ends.items():
        accept = (Accept("period", "inversion.natural", why),) if why else ()
        out.append(_recipe("top_down.natural", gas, ["inversion.natural"], accept=accept))
    return out


def _with_anthropogenic() -> list[Recipe]:
    human: dict[str, list[Term | str]] = {
        "CO2": ["anthropogenic.fossil"],
        "CH4": ["anthropogenic.fossil", "anthropogenic.agriculture_waste"],
        "N2O": [],
    }
    out = []
    for side in ("bottom_up", "top_down"):
        for gas, terms in human.items():
            accept = tuple(
                Accept("period", str(t), "inventory priors of the CH4 budget cover 2000-2017")
                for t in terms
                if gas == "CH4"
            )
            note = "" if terms else "Anthropogenic N2O was not estimated: this is the natural total."
            out.append(
                _recipe(
                    f"{side}.with_anthropogenic", gas, [f"{side}.natural", *terms], accept=accept, note=note
                )
            )
    return out


def _stock_change() -> list[Recipe]:
    why = "dissolved organic matter of all land north of 60 N"
    accept = (Accept("region", "lateral.riverine", why),)
    out = []
    for side in ("bottom_up", "top_down"):
        natural = f"{side}.natural"
        gases: dict[str, list[Term | str]] = {
            "C": [Term(natural, "CO2"), Term(natural, "CH4")],
            "N": [Term(natural, "N2O")],
        }
        for element, terms in gases.items():
            exports: list[Term | str] = ["lateral.riverine", "lateral.coastal_erosion"]
            note = "Positive: loss from land."
            out.append(_recipe(f"stock_change.{side}", element, [*terms, *exports], accept=accept, note=note))
    return out
