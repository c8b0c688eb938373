"""What is wrong with the input of a pixel: named, with what was found, what was expected, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from talik.fusion.axis import Pixels, TimeAxis
from talik.fusion.quantities import DRIVERS, STOCKS, STREAMS, Quantity
from talik.sources.climate_months import list_months, month_name

Array = NDArray[np.float64]
Severity = Literal["error", "warning"]
YEAR = 12
"""A pixel needs so many months."""
ROUND_OFF = 1e-6
"""A magnitude that lies less than this below zero is zero with round-off."""


@dataclass(frozen=True, slots=True)
class PixelProblem:
    """One thing that is wrong with a pixel. A pixel with an ``error`` does not run, with a ``warning`` it does."""

    severity: Severity
    pixel: str
    variable: str
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        return f"{self.pixel}: {self.variable}: {self.found}; expected {self.expected}. {self.fix}"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Observed:
    """Values of one stream as they are read, in the units of `quantities`.

    value, sd : (time, pixel), or (pixel,) of a map; NaN where there is none.     held_out : values of the same shape
    that are kept for validation; they have their sd too.     outside : (pixel,) number of values outside the period.
    given_sd : whether the files or settings state errors.     annual_sd : (year, pixel) error of annual means, NaN in
    years that do not have exactly one; None where none is stated.
    """

    value: Array
    sd: Array
    held_out: Array
    outside: NDArray[np.int64]
    given_sd: bool
    annual_sd: Array | None = None


def broken(problems: Iterable[PixelProblem]) -> dict[str, list[PixelProblem]]:
    """The errors of each pixel that has any."""
    out: dict[str, list[PixelProblem]] = {}
    for problem in problems:
        if problem.severity == "error":
            out.setdefault(problem.pixel, []).append(problem)
    return out


def driver_problems(
    drivers: dict[str, Array], axis: TimeAxis, pixels: Pixels, needed: Sequence[str]
) -> list[PixelProblem]:
    """What is wrong with the drivers (time, pixel) of each pixel."""
    out = []
    for k, name in enumerate(pixels.names):
        if not np.isfinite(pixels.lat[k]):
            out.append(
                PixelProblem(
                    "error", name, "latitude", "missing", "degrees north", "Add its position to the file."
                )
            )
        ours = {driver: drivers[driver][:, k] for driver in needed}
        out += [p for driver, values in ours.items() for p in _of_driver(name, DRIVERS[driver], values, axis)]
        if {"tmin", "tmax"} <= set(ours):
            out += _crossed(name, ours["tmin"], ours["tmax"], axis)
    return out


def stream_problems(
    streams: dict[str, Observed],
    axis: TimeAxis,
    pixels: Pixels,
    *,
    required: Sequence[str] = (),
    lognormal: Sequence[str] = (),
    spans: Mapping[str, str] | None = None,
) -> list[PixelProblem]:
    """What is wrong with the observations of each pixel; a run without streams has none.

    required : streams of which a pixel needs a value.     lognormal : streams whose values must be above zero.
    spans : months that the files of a stream have, in words.
    """
    out = []
    for k, name in enumerate(pixels.names):
        none = 0
        for stream, held in streams.items():
            value, sd = held.value[..., k], held.sd[..., k]
            have = np.isfinite(value)
            out += _of_stream(name, STREAMS[stream], value, sd, held.given_sd, axis)
            if held.annual_sd is not None:
                out += _of_years(name, stream, value, held.annual_sd[:, k], axis)
            if stream in lognormal and np.any(value <= 0.0):
                found, expected = f"{np.nanmin(value):g} with a lognormal error", "values above zero"
                fix = "Leave the value out, or take a normal error."
                out.append(PixelProblem("error", name, stream, found, expected, fix))
            out += _absent(name, stream, held, k, stream in required, (spans or {}).get(stream, ""))
            none += not have.any()
        if streams and none == len(streams):
            out.append(
                PixelProblem(
                    "error",
                    name,
                    ", ".join(streams),
                    "no value in the period",
                    "an observation of one stream at least",
                    "Leave the pixel out, or give a project without observations.",
                )
            )
    return out


def _of_driver(pixel: str, of: Quantity, values: Array, axis: TimeAxis) -> list[PixelProblem]:
    known = np.isfinite(values)
    if int(known.sum()) < min(YEAR, values.size) or not known.any():
        return [
            PixelProblem(
                "error",
                pixel,
                of.name,
                f"{int(known.sum())} of {values.size} months",
                f"every month, and {YEAR} of them at least",
                "Complete the drivers, or leave the pixel out.",
            )
        ]
    if not known.all():
        return [
            PixelProblem(
                "error",
                pixel,
                of.name,
                f"{list_months(axis.serial[~known])} missing",
                f"every month from {month_name(axis.serial[0])} to {month_name(axis.serial[-1])}",
                "Fill the gap, or choose a period without it.",
            )
        ]
    return _out_of_range(pixel, of, values, axis, largest=True)


def _out_of_range(
    pixel: str, of: Quantity, values: Array, axis: TimeAxis, *, largest: bool
) -> list[PixelProblem]:
    """Values that cannot be in the units they should be in, or of the sign."""
    known = values[np.isfinite(values)]
    wild = (known < of.low - ROUND_OFF) | (known > of.high)
    hint = f" ({of.hint})" if of.hint else ""
    fix = f"Correct the units of {of.name}{hint}, or its values."
    units = "" if of.units == "1" else f" {of.units}"
    if wild.any():
        worst = known[wild][np.argmax(np.abs(known[wild]))]
        found = f"{worst:g}{units}"
        if values.ndim:
            at = int(np.flatnonzero(values == worst)[0])
            found += f" in {month_name(axis.serial[at])} ({int(wild.sum())} values)"
        return [PixelProblem("error", pixel, of.name, found, f"{of.low:g} to {of.high:g}{units}", fix)]
    if largest and of.largest is not None and known.max() < of.largest:
        found = f"{known.max():g} {of.units} at most"
        expected = f"more than {of.largest:g} {of.units} in the month that has most"
        return [PixelProblem("error", pixel, of.name, found, expected, fix)]
    return []


def _crossed(pixel: str, tmin: Array, tmax: Array, axis: TimeAxis) -> list[PixelProblem]:
    above = tmin > tmax
    if not above.any():
        return []
    at = int(np.argmax(above))
    return [
        PixelProblem(
            "error",
            pixel,
            "tmin",
            f"{tmin[at]:g} above tmax {tmax[at]:g} in {month_name(axis.serial[at])} ({int(above.sum())} months)",
            "tmin <= tmax",
            "Exchange the two, or correct them.",
        )
    ]


def _of_stream(
    pixel: str, of: Quantity, value: Array, sd: Array, given_sd: bool, axis: TimeAxis
) -> list[PixelProblem]:
    have = np.isfinite(value)
    if not have.any():
        return []
    out = _out_of_range(pixel, of, value, axis, largest=False)
    if of.name == "gpp" and value[have].mean() < 0.0:
        found = f"{value[have].mean():g} {of.units} on average"
        out.append(
            PixelProblem(
                "error", pixel, "gpp", found, "GPP as uptake", "Set positive: up if it is given negative."
            )
        )
    if given_sd:
        bad = have & ~(sd > 0.0)
        if bad.any():
            first = sd[bad].flat[0] if value.ndim else float(sd)
            out.append(
                PixelProblem(
                    "error",
                    pixel,
                    f"{of.name} error",
                    f"{first:g} ({int(bad.sum())} of {int(have.sum())} values)",
                    "a positive standard error for each value",
                    "Correct it, leave the value out, or leave sd out and take the error model alone.",
                )
            )
    return out


def _of_years(pixel: str, stream: str, value: Array, annual_sd: Array, axis: TimeAxis) -> list[PixelProblem]:
    """Years with values whose annual mean has no error."""
    years = np.unique(axis.years)
    seen = np.array([np.isfinite(value[axis.years == year]).any() for year in years])
    bad = years[seen & ~(annual_sd > 0.0)]
    if not bad.size:
        return []
    some = ", ".join(map(str, bad[:5])) + (", ..." if bad.size > 5 else "")
    return [
        PixelProblem(
            "error",
            pixel,
            f"{stream} annual error",
            f"no single value above 0 in {some}",
            "one positive standard error for each year with values",
            "Give one a year, the same in its months, or leave annual_sd out.",
        )
    ]


def _absent(pixel: str, stream: str, held: Observed, k: int, required: bool, span: str) -> list[PixelProblem]:
    """A stream that has no value to assimilate, or values outside the period."""
    outside = int(held.outside[k])
    severity: Severity = "error" if required else "warning"
    if np.isfinite(held.value[..., k]).any():
        if not outside:
            return []
        found, expected = f"{outside} values outside the period", "values inside"
        return [
            PixelProblem(
                "warning", pixel, stream, found, expected, "They are not used; change the period to use them."
            )
        ]
    if outside:
        several = "its one value lies" if outside == 1 else f"all of its {outside} values lie"
        found = f"{several} outside the period" + (f" (the files have {span})" if span else "")
        fix = "Change the period, or leave the stream out."
        if stream in STOCKS:
            fix += f" A map that is to count in another year than its own: observations.{stream}.year."
        return [PixelProblem(severity, pixel, stream, found, "values inside", fix)]
    if np.isfinite(held.held_out[..., k]).any():
        found = "every value is held out"
        fix = "Assimilate all, or leave the stream out."
    else:
        found, fix = "no value", "Add its values, or leave the stream or the pixel out."
    return [PixelProblem(severity, pixel, stream, found, "values to assimilate", fix)]
