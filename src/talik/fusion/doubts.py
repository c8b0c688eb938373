"""Input that is possible but cannot be right: places and light that disagree, signs turned, values of another size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from talik.fusion.axis import Pixels, TimeAxis
from talik.fusion.problems import Observed, PixelProblem
from talik.fusion.quantities import DRIVERS, STREAMS

Array = NDArray[np.float64]
SEASONAL = 35.0
"""Poleward of it summer is brighter than winter everywhere, degrees."""
STEADY_LIGHT = 0.02
"""Light whose months differ by less than this share of the mean is no measurement."""
TURNED = 0.3
"""NEE of 83 northern towers correlates with GPP at 0.0 at most, and with its sign turned at more than 0.3 in 81."""
NEGATIVE = -0.1
"""Respiration (NEE + GPP) below it, g m-2 d-1, is none."""
DARK_LESS_BRIGHT = 0.3
"""NEE of three bright months is above that of three dark ones by so much, g m-2 d-1, only with its sign turned."""
LEAST = {"nee": 0.05, "gpp": 0.2}
"""Towers whose largest month stays below it, g m-2 d-1, are in other units: the least of 83 has 0.3 and 1.9."""
SMALL_SD, LARGE_SD = 1e-3, 100.0
"""Errors outside this many times the largest value are doubtful."""


def place_problems(pixels: Pixels, drivers: Mapping[str, Array], axis: TimeAxis) -> list[PixelProblem]:
    """Positions that are none, or that the light (time, pixel) denies."""
    out = []
    for k, name in enumerate(pixels.names):
        lat, lon = float(pixels.lat[k]), float(pixels.lon[k])
        if np.isfinite(lat) and abs(lat) > 90.0:
            out.append(
                PixelProblem("error", name, "latitude", f"{lat:g}", "-90 to 90 degrees north", "Correct it.")
            )
        if not np.isfinite(lon):
            out.append(
                PixelProblem(
                    "warning", name, "longitude", "missing", "degrees east", "Add its position to the file."
                )
            )
        elif not -180.0 <= lon <= 360.0:
            out.append(
                PixelProblem(
                    "error", name, "longitude", f"{lon:g}", "-180 to 360 degrees east", "Correct it."
                )
            )
        if "sw" in drivers:
            out += _of_light(name, lat, drivers["sw"][:, k], axis)
    return out


def stream_doubts(
    streams: Mapping[str, Observed], drivers: Mapping[str, Array], axis: TimeAxis, pixels: Pixels
) -> list[PixelProblem]:
    """Signs, sizes and errors of observations that cannot be those of their streams."""
    out = []
    for k, name in enumerate(pixels.names):
        ours = {stream: _all_values(held, k) for stream, held in streams.items()}
        if "nee" in ours:
            light = drivers["sw"][:, k] if "sw" in drivers else None
            out += _sign_of_nee(name, ours["nee"], ours.get("gpp"), light, axis)
        for stream, values in ours.items():
            known = np.abs(values[np.isfinite(values)])
            if not known.size:
                continue
            units = STREAMS[stream].units
            if known.size >= 12 and known.max() < LEAST.get(stream, 0.0):
                found = f"{known.max():g} {units} at most"
                expected = f"more than {LEAST[stream]:g} {units} in the month that has most"
                out.append(PixelProblem("warning", name, stream, found, expected, "Check its units."))
            if stream == "lai" and known.max() == 0.0:
                fix = "Leave the stream out, or give its missing values as missing."
                out.append(
                    PixelProblem("warning", name, stream, "0 in every month", "leaves at some time", fix)
                )
            out += _of_errors(name, stream, streams[stream], k, float(known.max()))
    return out


def _of_light(name: str, lat: float, light: Array, axis: TimeAxis) -> list[PixelProblem]:
    if not np.isfinite(light).all() or np.unique(axis.months).size < 12:
        return []
    units = DRIVERS["sw"].units
    if np.ptp(light) < STEADY_LIGHT * abs(light.mean()):
        found = f"{light.mean():.3g} {units} in every month"
        return [
            PixelProblem(
                "warning", name, "sw", found, "light that changes with the season", "Check its values."
            )
        ]
    if not SEASONAL <= abs(lat) <= 90.0:
        return []
    warm = (axis.months >= 4) & (axis.months <= 9)
    north, south = light[warm].mean(), light[~warm].mean()
    if (north - south) * np.sign(lat) >= 0.0:
        return []
    found = f"{lat:g} degrees north, with {north:.3g} {units} of light from April to September and {south:.3g} else"
    fix = "Correct the latitude (are lat and lon exchanged?), or the time of the light."
    return [PixelProblem("error", name, "latitude", found, "more light in the summer of the place", fix)]


def _sign_of_nee(
    name: str, nee: Array, gpp: Array | None, light: Array | None, axis: TimeAxis
) -> list[PixelProblem]:
    fix = "Set positive: down for observations.nee, or leave it out if it is set."
    both = np.isfinite(nee) & np.isfinite(gpp) if gpp is not None else np.zeros(nee.shape, bool)
    if gpp is not None and both.sum() >= 12:
        less, more = nee[both] + gpp[both], gpp[both] - nee[both]
        if np.ptp(nee[both]) == 0.0 or np.ptp(gpp[both]) == 0.0:
            return []
        alike = float(np.corrcoef(nee[both], gpp[both])[0, 1])
        none, none_turned = float((less < NEGATIVE).mean()), float((more < NEGATIVE).mean())
        # a fresh clearing loses carbon in summer too: turned, its respiration would be negative
        if none_turned >= none and not (alike > TURNED and none_turned == none == 0.0):
            return []
        if alike > TURNED or none > 0.5:
            found = (
                f"correlates with GPP at {alike:.2f}, and NEE + GPP is negative in {none:.0%} of the months"
            )
            expected = "NEE falls where GPP rises, and NEE + GPP is respiration"
            return [PixelProblem("error", name, "nee", found, expected, fix)]
        return []
    if light is None or np.isnan(light).any():
        return []
    have = [m for m in range(1, 13) if np.isfinite(nee[axis.months == m]).any()]
    if len(have) < 8:
        return []
    mean = np.array([np.nanmean(nee[axis.months == m]) for m in have])
    order = np.argsort([light[axis.months == m].mean() for m in have])
    bright, dark = mean[order[-3:]].mean(), mean[order[:3]].mean()
    if bright - dark <= DARK_LESS_BRIGHT:
        return []
    found = (
        f"{bright:.2g} in the three brightest months, {dark:.2g} in the three darkest {STREAMS['nee'].units}"
    )
    fix += " A pixel that does lose carbon in summer: give its GPP too."
    return [PixelProblem("error", name, "nee", found, "uptake (negative) where it is bright", fix)]


def _of_errors(name: str, stream: str, held: Observed, k: int, largest: float) -> list[PixelProblem]:
    sd = held.sd[..., k]
    known = sd[np.isfinite(sd) & (sd > 0.0)]
    if not held.given_sd or not known.size or largest == 0.0:
        return []
    middle = float(np.median(known))
    if SMALL_SD * largest <= middle <= LARGE_SD * largest:
        return []
    found = f"{middle:g} {STREAMS[stream].units}, of values up to {largest:g}"
    expected = f"{SMALL_SD:g} to {LARGE_SD:g} times the largest value"
    return [PixelProblem("warning", name, f"{stream} error", found, expected, "Check its units.")]


def _all_values(held: Observed, k: int) -> Array:
    """Assimilated and held out."""
    value, spare = held.value[..., k], held.held_out[..., k]
    return np.where(np.isfinite(value), value, spare)
