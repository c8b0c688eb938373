"""How far the pixels of a result may be trusted; and what is wrong with the input of a project before it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from talik.convergence import TRUSTED_K
from talik.errors import ConfigError, InputError
from talik.fusion.axis import Pixels
from talik.fusion.inputs import Reader
from talik.fusion.problems import PixelProblem, broken
from talik.fusion.regional import pixel_areas, pixel_grid
from talik.fusion.run import BAD_INPUT, problems_in
from talik.fusion.settings import Files, FusionSettings
from talik.fusion.summary import FAILED, GOOD, QUALITY, unknown_in
from talik.netcdf import open_netcdf
from talik.records import json_rows
from talik.sources.problem import Problem

NUMBERS = (
    "rhat_parameters",
    "rhat_outputs",
    "ess_bulk",
    "ess_tail",
    "divergences",
    "kept",
    "kish",
    "pareto_k",
)
"""Diagnostics of a pixel that a report has."""
AT_ONCE = 256
"""Pixels that are read together to judge input."""


def report(path: Path) -> dict[str, Any]:
    """What a result says of itself, as plain values.

    ``pixels`` has a row each: quality, reason, diagnostics. ``counts`` of each quality; ``passed``, the share of all
    pixels that converged, and ``passed_of_run``, of those whose input could be used; ``problems`` of input;
    ``doubtful``, pixels that converged with weights of a heavy tail; ``unknown``, disturbance that nothing is known of.

    InputError: no such file, or one that `talik fuse run` did not write.
    """
    with _opened(path) as result:
        table = pd.DataFrame({"pixel": result["pixel"].values.astype(str)})
        for name in ("lat", "lon"):
            table[name] = result[name].values
        quality = result["quality"].values.astype(int)
        table["quality"] = [QUALITY[k] for k in quality]
        table["reason"] = result["reason"].values.astype(str)
        for name in NUMBERS:
            table[name] = result[name].values
        worst = result["rhat"].fillna(-np.inf).argmax("parameter")
        table["slowest"] = result["parameter"].values[worst.values]
        table.loc[quality == FAILED, "slowest"] = ""
        problems = problems_in(result)
        told = {
            "members": int(result.sizes["member"]),
            "months": int(result.sizes["time"]),
            "source": str(result.attrs.get("source", "")),
            "unknown": list(unknown_in(result)),
        }
    bad_input = int(table["reason"].str.startswith(BAD_INPUT).sum())
    ran = len(table) - bad_input
    passed = int((quality == GOOD).sum())
    doubtful = table[(quality == GOOD) & (table["pareto_k"] > TRUSTED_K)]
    return {
        "result": path.name,
        **told,
        "counts": {name: int((quality == k).sum()) for k, name in enumerate(QUALITY)},
        "bad_input": bad_input,
        "passed": passed / len(table),
        "passed_of_run": passed / ran if ran else None,
        "doubtful": doubtful["pixel"].tolist(),
        "problems": [p.to_dict() for p in problems],
        "pixels": json_rows(table),
    }


def examine(settings: FusionSettings, files: Files, regions: Sequence[str] = ()) -> dict[str, Any]:
    """What a run would read, and all that is wrong with it: pixels, period, values of each stream, problems.

    regions : those of the totals, with whole paths. ConfigError, InputError, UnitsError and GridError for what concerns
    whole files or all pixels.
    """
    reader = Reader(settings, files)
    pixels, axis = reader.pixels(), reader.axis()
    _check_places(settings, pixels, regions)
    problems: list[PixelProblem] = []
    counts: Counter[str] = Counter()
    held_out: Counter[str] = Counter()
    for start in range(0, len(pixels), AT_ONCE):
        inputs = reader.read(pixels.take(slice(start, start + AT_ONCE)))
        problems += inputs.problems
        for name, of in inputs.streams.items():
            counts[name] += int(np.isfinite(of.value[..., inputs.good]).sum())
            held_out[name] += int(np.isfinite(of.held_out[..., inputs.good]).sum())
    return {
        "pixels": len(pixels),
        "good": len(pixels) - len(broken(problems)),
        "years": [int(axis.years[0]), int(axis.years[-1])],
        "assimilated": dict(counts),
        "held_out": dict(held_out),
        "without": list(settings.undisturbed),
        "unknown": list(settings.unknown),
        "assumed": list(settings.assumed),
        "problems": problems,
    }


def problems_of(told: dict[str, Any]) -> list[Problem]:
    """What `examine` found, pixel by pixel, errors first, as the doctor says it."""
    problems = [
        Problem(p.severity, f"{p.pixel}: {p.variable}", f"{p.found}; expected {p.expected}", p.fix, 1)
        for p in told["problems"]
    ]
    problems += [Problem("warning", "", text) for text in told["assumed"]]
    return sorted(problems, key=lambda p: p.severity != "error")


def _check_places(settings: FusionSettings, pixels: Pixels, regions: Sequence[str]) -> None:
    """What would stop the run after the sampling: pixels to draw, and regions of totals."""
    if unknown := [name for name in settings.figures if name not in pixels.names]:
        raise ConfigError(f"fusion.figures: no pixel {', '.join(unknown)} in the run. Correct the names.")
    wanted = settings.regions
    if wanted is None:
        return
    if (nowhere := ~np.isfinite(pixels.lat) | ~np.isfinite(pixels.lon)).any():
        raise ConfigError(
            f"fusion.regions: {pixels.names[int(np.argmax(nowhere))]} has no lat or lon ({int(nowhere.sum())} such "
            "pixels), so it has no area. Add them to the file, or leave regions out."
        )
    places = xr.Dataset(
        coords={
            "pixel": ("cell", list(pixels.names)),
            "lat": ("cell", pixels.lat),
            "lon": ("cell", pixels.lon),
        }
    )
    cells = pixel_grid(places, wanted.cell_degrees)
    if wanted.budget_region is not None:
        held = pixel_areas(places, cells, regions or None).regions
        if wanted.budget_region not in held:
            raise ConfigError(
                f"fusion.regions.budget_region: {wanted.budget_region!r} is none of the regions; choose one of: "
                f"{', '.join(held)}."
            )


def _opened(path: Path) -> xr.Dataset:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give the fusion.nc of a run.")
    found = open_netcdf(path, "Give the fusion.nc of a run.", decode_times=False)
    if lacking := sorted({"quality", "reason", "rhat", "problems", *NUMBERS} - set(found.variables)):
        found.close()
        raise InputError(
            f"{path}: has no {', '.join(lacking)}; expected the fusion.nc that talik fuse run writes."
        )
    return found
