"""One member in the one shape of all: its flux dataset of the north, and its totals by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from talik.ensembles.inversion_months import monthly_totals
from talik.ensembles.inversion_parts import natural_flux
from talik.ensembles.settings import NATURAL_EARTH, EnsembleSettings, Inversion, Model
from talik.ensembles.totals import member_totals
from talik.errors import ConfigError, CoverageError, FluxError
from talik.flux import FLUXES, open_flux
from talik.records import json_rows
from talik.regions import grid_of, land_fraction
from talik.regions.grid import Grid
from talik.regions.named import named_weights
from talik.sources.inversions import read_inversion
from talik.sources.model_derived import net_ecosystem_exchange
from talik.sources.model_output import ModelOutput, read_model

Paths = Sequence[Path]
Files = Mapping[str, Path]
HUMAN_FLUX = ("fch4", "fn2o")
"""Fluxes whose totals may hold human emissions."""


def harmonised(name: str, settings: EnsembleSettings, paths: Paths, files: Files) -> xr.Dataset:
    """The flux dataset of a member, north of `north_of`; process models with NEE where it can be made. Lazy."""
    member = settings.members[name]
    if isinstance(member, Model):
        ds = with_nee(_model(member, settings, paths, files).fluxes)
    else:
        ds = _inversion(member, paths, files)
    return northern(ds, settings.north_of)


def northern(ds: xr.Dataset, north_of: float) -> xr.Dataset:
    """The rows that reach beyond a latitude; CoverageError if there are none."""
    grid = grid_of(ds)
    keep = [k for k, edge in enumerate(grid.y_edges[1:]) if edge > north_of + 1e-9]
    if not keep:
        raise CoverageError(
            f"{ds.attrs.get('source', 'member')}: ends at {float(grid.y_edges[-1]):g} N, south of {north_of:g} N. "
            "Lower north_of, or leave the member out."
        )
    return ds.isel({grid.dims[0]: keep})


def with_nee(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with `nee`, where it has it or the fluxes it is made of (`net_ecosystem_exchange`)."""
    if "nee" in ds.data_vars:
        return ds
    try:
        return ds.assign(nee=net_ecosystem_exchange(ds))
    except FluxError:
        return ds


def regional_rows(
    name: str,
    settings: EnsembleSettings,
    harmonised_file: Path,
    paths: Paths,
    files: Files,
    regions: Sequence[str],
) -> list[dict[str, Any]]:
    """Totals of a member by region: yearly of a process model with its stocks, monthly of an inversion."""
    member = settings.members[name]
    with open_flux(harmonised_file) as ds:
        if isinstance(member, Inversion):
            held = [v for v in FLUXES if v in ds.data_vars]
            return [
                {"variable": v, **row}
                for v in held
                for row in json_rows(
                    monthly_totals(ds, v, list(regions), name=name, min_coverage=settings.least_coverage)
                )
            ]
        stocks = _model(member, settings, paths, files).stocks
        stocks = None if stocks is None else northern(stocks, settings.north_of)

        def weights(grid: Grid) -> xr.DataArray:
            return named_weights(regions, grid)

        def land(grid: Grid) -> xr.DataArray:
            return ds["land_fraction"] if "land_fraction" in ds.variables else land_fraction(grid)

        return json_rows(
            member_totals(
                name,
                ds,
                stocks,
                weights,
                scenario=member.scenario,
                land_fraction=land,
                min_coverage=settings.least_coverage,
            )
        )


def _model(member: Model, settings: EnsembleSettings, paths: Paths, files: Files) -> ModelOutput:
    return read_model(
        list(paths),
        member.profile,
        model=member.model,
        land_fraction=None if member.land_fraction is None else _land(member.land_fraction, files),
        profiles=None if settings.profiles is None else files[settings.profiles],
    )


def _land(named: str, files: Files) -> str | Path:
    return named if named == NATURAL_EARTH else files[named]


def _inversion(member: Inversion, paths: Paths, files: Files) -> xr.Dataset:
    ds = read_inversion(list(paths), member.layout, terms=member.terms, check_total=member.check_total)
    if member.leave_out:
        ds = _without(ds, member.leave_out)
    ds = ds.drop_vars([v for v in ds.data_vars if str(v).endswith("_prior")]) if not member.human else ds
    if not member.human:
        return ds
    variable = next((v for v in HUMAN_FLUX if v in ds.data_vars), "fch4")
    human = [open_flux(files[name]) for name in member.human]
    return natural_flux(ds, human, variable, method=member.human_method)


def _without(ds: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """A package without some of its systems; ConfigError for one that it has not."""
    held = [str(m) for m in ds["member"].values] if "member" in ds.dims else []
    if unknown := [name for name in names if name not in held]:
        raise ConfigError(
            f"leave_out: {', '.join(unknown)} is no system of the package; it has {', '.join(held) or 'none'}."
        )
    return ds.isel(member=[k for k, name in enumerate(held) if name not in names])
