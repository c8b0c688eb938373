"""A block of pixels from files to file: read, judge, infer, summarise."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from talik.errors import InputError
from talik.flux.io import FILL
from talik.flux.units import as_units
from talik.fusion.axis import Array as Floats
from talik.fusion.axis import Pixels, TimeAxis
from talik.fusion.drivers import Drivers
from talik.fusion.ensemble import DIAGNOSTICS, FLUX_NAMES, Ensemble
from talik.fusion.inputs import Inputs, Reader
from talik.fusion.observations import Observations
from talik.fusion.observed import errors_of_months, observations_of
from talik.fusion.parameters import N_PARAMETERS, POOLS
from talik.fusion.problems import PixelProblem, broken
from talik.fusion.quantities import STREAMS
from talik.fusion.settings import Files, FusionSettings, InferOptions
from talik.fusion.summary import join_summaries, summarise
from talik.fusion.validation import MODELLED
from talik.jax64 import keep_compiled
from talik.provenance import stamp

Tell = Callable[[str], None]
STEP = "fusion"
BAD_INPUT = "bad input"
"""How the reason of a pixel begins that could not run."""

RATE, LEAF_UNITS = "kg m-2 s-1", "1"
"""Units of observed fluxes in the result, those of the modelled ones, and of observed leaf area."""
FIRST = 5
"""Pixels whose errors are shown where all have some."""


class Infer(Protocol):
    """Samples the posterior of the pixels of a block."""

    def __call__(
        self,
        drivers: Drivers,
        observations: Observations,
        axis: TimeAxis,
        pixels: Pixels,
        options: InferOptions,
        tell: Tell,
    ) -> Ensemble:
        """Members and diagnostics of every pixel."""


def one_core() -> None:
    """Let XLA compute on one core of this process, so that workers share a machine; before JAX computes anything.

    With more threads sums would be added in another order, and the bytes would depend on the machine's cores.
    """
    os.environ.setdefault("NPROC", "1")


def run_block(
    out: Path, settings: FusionSettings, files: Files, which: range, options: InferOptions, infer: Infer
) -> None:
    """Infer some pixels of a run and write their summary as NetCDF.

    Pixels with broken input do not run; they stand in the file as failed, with the reason. Says on standard error how
    far it is.
    """
    one_core()
    keep_compiled()
    reader = Reader(settings, files)
    pixels = reader.pixels().take(slice(which.start, which.stop))
    inputs = reader.read(pixels)
    good = inputs.good
    ensemble, errors = None, {}
    if good.size:
        observations = observations_of(inputs, good, settings)
        errors = errors_of_months(inputs, good, settings)
        ensemble = infer(
            inputs.drivers_of(good),
            observations,
            inputs.axis,
            pixels.take(good),
            options,
            _sign_of_life(which),
        )
    whole = with_broken(ensemble, inputs, settings.sampler.members)
    _write(_with_inputs(summarise(whole, unknown=settings.unknown), inputs, errors), out)


def with_broken(ensemble: Ensemble | None, inputs: Inputs, members: int) -> Ensemble:
    """The pixels that ran at their places among all of a block; the others are NaN, with what is wrong as the reason.

    `ensemble` is None where no pixel could run.
    """
    names = inputs.pixels.names
    bad = broken(inputs.problems)
    good = [k for k, name in enumerate(names) if name not in bad]
    ran = {} if ensemble is None else dict(zip(good, ensemble.reason, strict=True))
    pixels, time = len(names), len(inputs.axis)
    count = members if ensemble is None else ensemble.size[1]

    def spread(values: NDArray[Any] | None, shape: tuple[int, ...], at: int) -> NDArray[Any]:
        flag = values is not None and values.dtype == bool
        whole = (
            np.zeros(shape, bool)
            if flag
            else np.full(shape, np.nan, None if values is None else values.dtype)
        )
        if values is not None:
            whole[(slice(None),) * at + (good,)] = values
        return whole

    def diagnostic(name: str) -> NDArray[Any]:
        if ensemble is None and name in ("converged", "map_quality"):
            return np.zeros(pixels, bool)
        return spread(None if ensemble is None else ensemble.diagnostics[name], (pixels,), 0)

    def part(name: str) -> NDArray[Any] | None:
        return None if ensemble is None else getattr(ensemble, name)

    return Ensemble(
        names=names,
        lat=inputs.pixels.lat,
        lon=inputs.pixels.lon,
        years=inputs.axis.years,
        months=inputs.axis.months,
        parameters=spread(part("parameters"), (pixels, count, N_PARAMETERS), 0),
        pools=spread(part("pools"), (time + 1, len(POOLS), pixels, count), 2),
        fluxes={
            n: spread(None if ensemble is None else ensemble.fluxes[n], (time, pixels, count), 1)
            for n in FLUX_NAMES
        },
        mrt=spread(part("mrt"), (pixels, count), 0),
        cue=spread(part("cue"), (pixels, count), 0),
        diagnostics={name: diagnostic(name) for name in DIAGNOSTICS},
        rhat=spread(part("rhat"), (pixels, N_PARAMETERS), 0),
        rhat_outputs={}
        if ensemble is None
        else {n: spread(of, (pixels,), 0) for n, of in ensemble.rhat_outputs.items()},
        reason=tuple(ran[k] if k in ran else _reason(bad[name]) for k, name in enumerate(names)),
    )


def merge(
    parts: Sequence[Path],
    out: Path,
    *,
    title: str,
    key: str,
    inputs: Mapping[str, Path],
    made: Mapping[str, Any] | None = None,
) -> None:
    """The blocks of a run as one file, with where it came from and how it was `made` (plain values)."""
    loaded = [open_result(part) for part in parts]
    whole = join_summaries(list(_alike(loaded)))
    whole = whole.assign_attrs(title=title) if title else whole
    whole = whole.assign_attrs(talik_fusion=json.dumps(made, sort_keys=True)) if made else whole
    _write(stamp(whole, STEP, key, inputs), out)


def open_result(path: Path) -> xr.Dataset:
    """A block's file or a whole result, in memory, as `summarise` made it."""
    with xr.open_dataset(path, engine="netcdf4") as ds:
        return ds.set_coords("time_bnds").load().drop_encoding()


def problems_in(result: xr.Dataset) -> list[PixelProblem]:
    """What was wrong with the input of the pixels of a result."""
    return [PixelProblem(**row) for text in result["problems"].values for row in json.loads(str(text))]


def _alike(parts: Sequence[xr.Dataset]) -> Iterator[xr.Dataset]:
    """The parts with the variables of all: a block in which no pixel ran does not know which outputs are monitored."""
    whole = {name: of for part in parts for name, of in part.data_vars.items()}
    for part in parts:
        lacking = {
            name: xr.full_like(part["lat"], np.nan).drop_attrs().assign_attrs(of.attrs)
            for name, of in whole.items()
            if name not in part
        }
        yield part.assign(lacking)


def _with_inputs(summary: xr.Dataset, inputs: Inputs, errors: Mapping[str, Floats]) -> xr.Dataset:
    """With the observations, how many there are of each stream, and what was wrong."""
    names = inputs.pixels.names
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for problem in inputs.problems:
        rows[problem.pixel].append(problem.to_dict())
    told = np.array([json.dumps(rows[name]) for name in names], dtype=object)
    summary["problems"] = ("cell", told, {"long_name": "what is wrong with the input, JSON"})
    good = inputs.good
    for name in (n for n in MODELLED if n in inputs.streams):
        sd = np.full(inputs.streams[name].value.shape, np.nan)
        if name in errors:
            sd[:, good] = errors[name]
        of, units = inputs.streams[name], {"units": STREAMS[name].units}
        for prefix, values, text in (
            ("observed", of.value, "assimilated"),
            ("held_out", of.held_out, "kept for validation"),
            ("sd", sd, "standard error of the observation"),
        ):
            meaning = f"{STREAMS[name].meaning}, {text}"
            summary[f"{prefix}_{name}"] = (("time", "cell"), values, {**units, "long_name": meaning})
    observed = [str(n) for n in summary.data_vars if str(n).startswith(("observed_", "held_out_", "sd_"))]
    for flux in (n for n in observed if summary[n].attrs["units"] != LEAF_UNITS):
        about = summary[flux].attrs | {"units": RATE}
        summary[flux] = as_units(summary[flux], RATE).assign_attrs(about)
    if inputs.streams:
        summary = summary.assign_coords(stream=np.array(list(inputs.streams), dtype=object))
        for name, what, text in (
            ("assimilated", "value", "values that were assimilated"),
            ("held_out", "held_out", "values in the period that were kept for validation"),
        ):
            counts = np.stack([_count(getattr(of, what)) for of in inputs.streams.values()])
            summary[name] = (("stream", "cell"), counts, {"units": "1", "long_name": text})
    return summary


def _count(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """(pixel,) number of values, of (time, pixel) or (pixel,)."""
    return np.asarray(np.atleast_2d(np.isfinite(values)).sum(axis=0), dtype=np.int64)


def _reason(problems: Sequence[PixelProblem]) -> str:
    return f"{BAD_INPUT}: " + "; ".join(
        f"{p.variable}: {p.found}; expected {p.expected}" for p in problems if p.severity == "error"
    )


def _write(ds: xr.Dataset, out: Path) -> None:
    encoding: dict[Hashable, dict[str, Any]] = {
        name: {"zlib": True, "complevel": 1, "_FillValue": of.dtype.type(FILL)}
        for name, of in ds.data_vars.items()
        if of.dtype.kind == "f"
    }
    days = {"units": f"days since {int(ds['time'].dt.year[0])}-01-01", "dtype": "int32"}
    encoding |= {"time": days, "time_bnds": days}
    ds.to_netcdf(out, engine="netcdf4", format="NETCDF4", encoding=encoding)


def _sign_of_life(which: range) -> Tell:
    def tell(line: str) -> None:
        sys.stderr.write(f"  pixels {which.start}..{which.stop - 1}: {line}\n")

    return tell


def require_some_good(problems: Sequence[PixelProblem], pixels: int) -> None:
    """InputError if no pixel of a run can be inferred."""
    bad = broken(problems)
    if len(bad) < pixels:
        return
    some = "\n".join(f"  - {p}" for of in list(bad.values())[:FIRST] for p in of)
    more = f"\n  and {len(bad) - FIRST} more pixels" if len(bad) > FIRST else ""
    raise InputError(f"fusion: none of {pixels} pixels has input that can be used:\n{some}{more}")
