"""The result of section `upscaling`: scores, where the models apply, and regional numbers with limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from talik.regions.grid import Grid
from talik.upscaling import regional
from talik.upscaling.cube.blocks import CubeFiles, Domain, MembersPart, YearsPart
from talik.upscaling.cube.store import variable_of
from talik.upscaling.model import Model
from talik.upscaling.settings import UpscalingSettings
from talik.upscaling.training_file import read_held_out, read_training_file


def result_of(
    settings: UpscalingSettings,
    files: CubeFiles,
    *,
    models: Mapping[str, Path],
    training: Mapping[str, Path],
    held_out: Mapping[str, Path],
    domain: Domain,
    years: YearsPart,
    members: Mapping[str, MembersPart | None],
) -> dict[str, Any]:
    """JSON values: period, domain, and for each flux its model, scores, applicability, error, limits and regions."""
    fluxes: dict[str, Any] = {}
    grid: Grid | None = None
    for f, flux in enumerate(settings.fluxes):
        model = Model.load(models[flux], members=False)
        if grid is None:
            grid = files.open(model.schema.features).grid
        held, told = read_held_out(held_out[flux]) if flux in held_out else (None, None)
        spread, error = regional.Spread({}, {}), None
        own = members[flux]
        if own is not None:
            mean, year = regional.member_spread(own, years)
            spread.mean[regional.MEMBERS], spread.year[regional.MEMBERS] = mean, year
        if settings.limits.contain != "members" and held is not None:
            places = regional.Places.of(settings.limits, domain, grid, files.years)
            mean, year, error = places.spread(read_training_file(training[flux]), held)
            spread.mean[regional.PLACES] = mean
            spread.year[regional.PLACES] = np.repeat(year[:, None], len(years.months) // 12, axis=1)
        numbers = regional.numbers_of(
            flux,
            variable_of(flux, model.schema.units),
            years.sums[f],
            years,
            domain,
            spread,
            settings.least_coverage,
        )
        fluxes[flux] = {
            **regional.told_of_model(model, told),
            "notes": list(read_training_file(training[flux]).notes),
            "members": 0 if own is None else len(own.mean),
            "applicability": _applicability(model, years, domain, f),
            "error_of_places": error,
            "limits": {
                "level": regional.LEVEL,
                "contain": list(spread.mean),
                "meaning": {kind: regional.TOLD[kind] for kind in spread.mean},
                "not": regional.not_contained(spread),
                "distribution": "normal",
            },
            **numbers,
        }
    return {
        "talik_upscaling": 1,
        "period": list(files.years),
        "domain": {"cells": len(domain.rows), "dropped_cells": domain.dropped},
        "regions": list(domain.regions),
        "fluxes": fluxes,
    }


def _applicability(model: Model, years: YearsPart, domain: Domain, f: int) -> dict[str, Any] | None:
    """Share of area and time, by region, in which the model speaks of places like its sites."""
    inside = years.inside[f]
    if (inside < 0).any() or model.applicability is None:
        return None
    share = inside / len(years.months)
    area = domain.areas.sum(axis=0)
    by_region = (domain.areas * share[:, None]).sum(axis=0) / np.where(area > 0, area, 1.0)
    return {
        "threshold": model.applicability.threshold,
        "share": float(by_region[0]),
        "regions": {
            name: float(v) if a > 0 else None
            for name, v, a in zip(domain.regions, by_region, area, strict=True)
        },
    }
