"""What a run writes: monthly fluxes and states, annual soil climate, the restart file, the audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import InputError
from talik.flux.table import FLUXES
from talik.sources.climate_months import month_number, month_stamps
from talik.tem.inputs import Columns
from talik.tem.model import CLOSURES, Outputs, State
from talik.tem.permafrost.layers import Permafrost
from talik.tem.phases import SpinReport
from talik.tem.thermal.grid import CARBON_THICKNESS_M, DEPTHS_M, LAYERS, SOIL_THICKNESS_M

Array = npt.NDArray[np.float64]

FLUX_NAMES = ("gpp", "npp", "ra", "rh", "reco", "nep", "nee")
"""Monthly carbon fluxes of the flux dataset."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable beside the fluxes: CF units, name, and standard name where one means this."""

    units: str
    long_name: str
    standard_name: str | None = None

    def attributes(self) -> dict[str, str]:
        """CF attributes."""
        named = {} if self.standard_name is None else {"standard_name": self.standard_name}
        return {"units": self.units, "long_name": self.long_name, **named}


LAND: Mapping[str, Variable] = {
    "cVeg": Variable("kg m-2", "carbon in vegetation, end of month", "vegetation_carbon_content"),
    "cSoil": Variable(
        "kg m-2", "soil organic carbon of the active layer, end of month", "soil_carbon_content"
    ),
    "nVeg": Variable("kg m-2", "nitrogen in vegetation, end of month", "vegetation_mass_content_of_nitrogen"),
    "nSoil": Variable("kg m-2", "soil organic nitrogen, end of month"),
    "nMineral": Variable("kg m-2", "available inorganic nitrogen, end of month"),
    "fNup": Variable("kg m-2 s-1", "nitrogen taken up by plants"),
    "fNnetmin": Variable("kg m-2 s-1", "net nitrogen mineralisation"),
    "fVegLitter": Variable("kg m-2 s-1", "carbon in litterfall"),
    "nppPotential": Variable("kg m-2 s-1", "net primary production if nitrogen did not limit it, as carbon"),
    "evspsbl": Variable("kg m-2 s-1", "evapotranspiration", "water_evapotranspiration_flux"),
    "mrro": Variable("kg m-2 s-1", "runoff", "runoff_flux"),
    "mrso": Variable("kg m-2", "water in the root zone, end of month"),
    "snw": Variable("kg m-2", "snow water of the bucket, end of month", "surface_snow_amount"),
    "thawDepth": Variable("m", "largest thaw depth of the month"),
    "thawedDays": Variable("1", "share of days above 0 degC at 5 cm"),
    "tsl": Variable("degC", "soil temperature", "soil_temperature"),
    "rhPermafrost": Variable(
        "kg m-2 s-1", "carbon respired in ground that was frozen in the reference year; part of rh"
    ),
}
ANNUAL: Mapping[str, Variable] = {
    "activeLayerThickness": Variable("m", "active-layer thickness of the part of the cell with permafrost"),
    "permafrostFraction": Variable("1", "share of the cell with permafrost above 50 m"),
    "talikThickness": Variable("m", "ground above the permafrost table that stays above 0 degC all year"),
    "cSoilPermafrost": Variable(
        "kg m-2", "soil carbon below the reference year's active layer, to 6 m, frozen or thawed, end of year"
    ),
    "cSoilFrozen": Variable("kg m-2", "of that, carbon that never thawed since the reference year"),
}
_G_TO_KG = 1e-3
CLOSED = 1e-10
"""Largest relative residual of a budget that is round-off."""
_BOTTOM_M = float(SOIL_THICKNESS_M.sum())


@dataclass
class Collected:
    """The years of a run as they come; `column` arrays are averaged to cells at once.

    permafrost : whether what is frozen below the active layer is followed from a reference year on.
    """

    columns: Columns
    permafrost: bool = False
    monthly: dict[str, list[Array]] = field(default_factory=dict)
    annual: dict[str, list[Array]] = field(default_factory=dict)
    residual: Array = field(default_factory=lambda: np.zeros(len(CLOSURES)))
    years: list[int] = field(default_factory=list)

    def add(self, year: int, outputs: Outputs, wilting_mm: Array, seconds: Array) -> None:
        """Keep a year. wilting_mm : (column,) water below the wilting point; seconds : (12,) of the year's months.

        InputError: results that are no numbers, or budgets that do not close.
        """
        keep_worst(self.residual, np.abs(np.asarray(outputs.residual)), self.columns, year)
        f, pools = outputs.fluxes, outputs.fluxes.pools
        flux = _G_TO_KG / seconds[:, None]
        deep = np.zeros(f.rh.shape) if f.permafrost is None else np.asarray(f.permafrost.rh)
        rates = {
            "gpp": f.gpp,
            "npp": f.npp,
            "ra": f.r_maintenance + f.r_growth,
            "rh": f.rh + deep,
            "reco": f.r_maintenance + f.r_growth + f.rh + deep,
            "nep": f.nep - deep,
            "nee": deep - f.nep,
            "fNup": f.uptake,
            "fNnetmin": f.mineralised,
            "fVegLitter": f.litter_c,
            "nppPotential": f.npp_potential,
        }
        water = {"evspsbl": f.aet, "mrro": f.runoff_rain + f.runoff_melt}
        stocks = {
            "cVeg": pools.C_V,
            "cSoil": pools.C_S,
            "nVeg": pools.N_VS + pools.N_VL,
            "nSoil": pools.N_S,
            "nMineral": pools.N_A,
        }
        plain = {
            "mrso": pools.W + wilting_mm,
            "snw": pools.SWE,
            "thawDepth": outputs.thaw_depth,
            "thawedDays": outputs.soil.thawed_days,
            "tsl": outputs.tsoil,
        }
        if self.permafrost:
            rates["rhPermafrost"] = deep
        months = {name: np.asarray(a) * flux for name, a in rates.items()}
        months |= {name: np.asarray(a) / seconds[:, None] for name, a in water.items()}
        months |= {name: np.asarray(a) * _G_TO_KG for name, a in stocks.items()}
        months |= {name: np.asarray(a) for name, a in plain.items()}
        for name, values in months.items():
            self.monthly.setdefault(name, []).append(self.columns.mean(values))
        for name, values in self._permafrost(np.asarray(outputs.alt), np.asarray(outputs.talik)).items():
            self.annual.setdefault(name, []).append(values)
        if self.permafrost:
            held = None if f.permafrost is None else f.permafrost.pools
            self._add_carbon(held)
        self.years.append(year)

    def freeze(self, held: Permafrost) -> None:
        """What is frozen at the end of the last year that was added."""
        for name in ("cSoilPermafrost", "cSoilFrozen"):
            self.annual[name].pop()
        self._add_carbon(held)

    def _add_carbon(self, held: Permafrost | None) -> None:
        """Carbon below the active layer at the end of a year; not a number before the reference year."""
        shape = self.columns.cell.size
        frozen = np.full(shape, np.nan) if held is None else np.asarray(held.frozen_c.sum(axis=0))
        thawed = np.zeros(shape) if held is None else np.asarray(held.thawed_c.sum(axis=0))
        for name, carbon in (("cSoilPermafrost", frozen + thawed), ("cSoilFrozen", frozen)):
            self.annual.setdefault(name, []).append(self.columns.mean(carbon * _G_TO_KG))

    def _permafrost(self, alt: Array, talik: Array) -> dict[str, Array]:
        """The annual variables; where a part of a cell has no permafrost, the thickness is that of the others."""
        frozen = (alt < _BOTTOM_M - 1e-6).astype(np.float64)
        share = self.columns.mean(frozen)
        with np.errstate(invalid="ignore"):
            thickness = self.columns.mean(alt * frozen) / share
        return {
            "activeLayerThickness": thickness,
            "permafrostFraction": share,
            "talikThickness": self.columns.mean(talik),
        }

    def dataset(self) -> xr.Dataset:
        """Everything as one dataset: (time, cell), (time, depth, cell) and (year, cell)."""
        months = month_number(self.years[0], 1) + np.arange(12 * len(self.years))
        out = xr.Dataset(
            coords={"time": month_stamps(months), "year": np.array(self.years), "depth": np.array(DEPTHS_M)}
        )
        out = out.assign_coords(lat=("cell", self.columns.lat), lon=("cell", self.columns.lon))
        for name, parts in self.monthly.items():
            dims = ("time", "depth", "cell") if parts[0].ndim == 3 else ("time", "cell")
            attributes = LAND[name].attributes() if name in LAND else FLUXES[name].attributes
            out[name] = (dims, np.concatenate(parts), attributes)
        for name, parts in self.annual.items():
            out[name] = (("year", "cell"), np.stack(parts), ANNUAL[name].attributes())
        if self.columns.area_m2 is not None:
            out["cell_area"] = ("cell", self.columns.area_m2, {"units": "m2", "standard_name": "cell_area"})
        return out


def keep_worst(worst: Array, residual: Array, columns: Columns, year: int) -> None:
    """Keep in `worst` (4,) the largest relative residual of each budget; residual (4, column), not negative.

    Raises:
        InputError: a budget that does not close.
    """
    bad = ~(residual <= CLOSED)
    if bad.any():
        budget, column = (int(i[0]) for i in np.nonzero(bad))
        raise InputError(
            f"{CLOSURES[budget]} of {_place(columns, column)} is off by {residual[budget, column]:.1e} in {year} "
            f"({int(bad.any(axis=0).sum())} of {bad.shape[1]} columns); expected at most {CLOSED:g}. Check the "
            "climate and the parameters that were changed; if they are plausible this is an error in talik."
        )
    np.fmax(worst, residual.max(axis=1), out=worst)


def month_seconds(year: int) -> Array:
    """Length of the months of a calendar year, s (12,)."""
    seconds: Array = np.diff(month_stamps(month_number(year, 1) + np.arange(13))) / np.timedelta64(1, "s")
    return seconds


_AXES = {12: "month", LAYERS: "layer", CARBON_THICKNESS_M.size: "carbon_layer"}


def state_dataset(state: State, columns: Columns, year: int) -> xr.Dataset:
    """The state of columns at the end of a year, as a restart file holds it."""
    out = xr.Dataset(attrs={"year": year})
    for name, values in _leaves(state):
        array = np.asarray(values)
        dims = () if array.ndim == 1 else (_AXES[array.shape[0]],)
        out[name] = ((*dims, "column"), array)
    place = columns.cell
    return out.assign_coords(
        lat=("column", columns.lat[place]),
        lon=("column", columns.lon[place]),
        community=("column", np.array(columns.community)),
        share=("column", columns.share),
    )


def state_from(ds: xr.Dataset, template: State) -> State:
    """The state of a restart dataset, in the shape of a template."""
    values = [ds[name].to_numpy() for name, _ in _leaves(template)]
    filled: State = jax.tree.unflatten(jax.tree.structure(template), values)
    return filled


def _leaves(state: State) -> list[tuple[str, Any]]:
    """Every array of the state by name."""
    paths, _ = jax.tree.flatten_with_path(state)
    return [("_".join(str(part).lstrip(".") for part in path), leaf) for path, leaf in paths]


def audit_of(
    columns: Columns, years: range, worst: Array, spun: dict[str, Any] | None, notes: tuple[str, ...]
) -> dict[str, Any]:
    """What a block tells of itself: worst closures, how the spin-up ended, what the readers noted."""
    audit: dict[str, Any] = {
        "columns": columns.cell.size,
        "years": [years[0], years[-1]],
        "closure": dict(zip(CLOSURES, worst.tolist(), strict=True)),
        "notes": list(notes),
    }
    return audit if spun is None else {**audit, "spin_up": spun}


def spin_audit(report: SpinReport, columns: Columns) -> dict[str, Any]:
    """How the spin-up of a block ended."""
    return {
        "soil_years": int(report.soil_years.max()),
        "soil_still": int(report.soil_still.sum()),
        "equilibrium_years": int(report.equilibrium_years.max()),
        "equilibrium_still": int(report.equilibrium_still.sum()),
        "newton_steps": int(report.newton_steps.max()),
        "fell_back": [_place(columns, int(i)) for i in np.flatnonzero(report.fell_back)],
        "loop_soil_years": int(report.loop_soil_years.max()),
        "loop_soil_still": int(report.loop_soil_still.sum()),
    }


def _place(columns: Columns, column: int) -> str:
    """Which column."""
    at = columns.cell[column]
    return f"{columns.community[column]} at {columns.lat[at]:g}, {columns.lon[at]:g}"
