"""The posterior of many pixels as one value: members that are equally weighted, and how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talik.errors import InputError
from talik.fusion.parameters import N_PARAMETERS, POOLS, P
from talik.sources.climate_months import month_name

Array = NDArray[np.float64]
AnyFloat = NDArray[np.floating[Any]]

FLUX_NAMES = ("gpp", "ra", "rh", "npp", "nee", "fire", "nbe")
"""Fluxes of an ensemble, g C m-2 d-1, each positive in the direction it names; nee and nbe to the atmosphere."""
DIAGNOSTICS: Mapping[str, str] = {
    "converged": "R-hat < 1.01 and effective sample sizes > 400 for all parameters and outputs, divergences < 0.5 %",
    "map_quality": "R-hat < 1.05 for all parameters and outputs",
    "rhat_parameters": "largest R-hat of a parameter",
    "rhat_outputs": "largest R-hat of an output",
    "ess_bulk": "smallest bulk effective sample size",
    "ess_tail": "smallest tail effective sample size",
    "divergences": "share of divergent trajectories",
    "kept": "share of draws that pass the hard constraints",
    "kish": "effective share of draws after weighting (Kish 1965)",
    "rhat_hard": "largest R-hat after the hard constraints, of chains taken again by their weights",
    "pareto_k": "Pareto shape of the importance weights (Vehtari et al. 2024)",
}
"""What is told of each pixel beside its members; a number that a sampler does not give is NaN."""
_FLAGS = ("converged", "map_quality")


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Members of every pixel: draws of equal weight that pass the hard constraints.

    names : of the pixels, (P,).     lat, lon : (P,) degrees.     years, months : (time,), consecutive months (1-12).
    parameters : (P, M, 28), rows as in `talik.fusion.parameters.P`.     pools : (time + 1, 6, P, M) g C m-2.
    fluxes : `FLUX_NAMES` to (time, P, M) g C m-2 d-1, float32 or float64.     mrt, cue : (P, M), years and 1.
    diagnostics : `DIAGNOSTICS` to (P,).     rhat : (P, 28) of the parameters.     rhat_outputs : output to (P,).
    reason : (P,) why a pixel has not converged or failed; empty where it has converged.

    A pixel that failed is NaN in all its members. InputError, which names the pixel, where shapes differ, a pixel has
    only some of its numbers, or a pixel without convergence gives no reason.
    """

    names: tuple[str, ...]
    lat: Array
    lon: Array
    years: NDArray[np.int64]
    months: NDArray[np.int64]
    parameters: Array
    pools: AnyFloat
    fluxes: Mapping[str, AnyFloat]
    mrt: Array
    cue: Array
    diagnostics: Mapping[str, NDArray[Any]]
    rhat: Array
    rhat_outputs: Mapping[str, Array]
    reason: tuple[str, ...]

    def __post_init__(self) -> None:
        self._check_shapes()
        serial = self.serial
        steps = np.diff(serial)
        if np.any(steps != 1):
            at = int(np.argmax(steps != 1))
            raise InputError(
                f"ensemble: {month_name(serial[at + 1])} follows {month_name(serial[at])}; expected consecutive "
                "months. Complete the time axis."
            )
        self._check_pixels()

    def _check_shapes(self) -> None:
        pixels, time = len(self.names), self.years.size
        members = self.parameters.shape[1] if self.parameters.ndim == 3 else -1
        if time < 1 or pixels < 1:
            raise InputError(f"ensemble: {pixels} pixels, {time} months; expected one of each at least.")
        expected: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "lat": (self.lat.shape, (pixels,)),
            "lon": (self.lon.shape, (pixels,)),
            "months": (self.months.shape, (time,)),
            "parameters": (self.parameters.shape, (pixels, members, N_PARAMETERS)),
            "pools": (self.pools.shape, (time + 1, len(POOLS), pixels, members)),
            "mrt": (self.mrt.shape, (pixels, members)),
            "cue": (self.cue.shape, (pixels, members)),
            "rhat": (self.rhat.shape, (pixels, N_PARAMETERS)),
            "reason": ((len(self.reason),), (pixels,)),
        }
        for group, names in (("fluxes", FLUX_NAMES), ("diagnostics", tuple(DIAGNOSTICS))):
            given: Mapping[str, NDArray[Any]] = getattr(self, group)
            if set(given) != set(names):
                raise InputError(
                    f"ensemble: {group} are {', '.join(given)}; expected {', '.join(names)}. A number that is not "
                    "known is NaN."
                )
        expected |= {name: (self.fluxes[name].shape, (time, pixels, members)) for name in FLUX_NAMES}
        expected |= {name: (self.diagnostics[name].shape, (pixels,)) for name in DIAGNOSTICS}
        expected |= {f"R-hat of {name}": (of.shape, (pixels,)) for name, of in self.rhat_outputs.items()}
        for name, (found, wanted) in expected.items():
            if found != wanted:
                raise InputError(
                    f"ensemble: {name} has shape {found}; expected {wanted}. Transpose or cut it."
                )

    def _check_pixels(self) -> None:
        finite = [
            np.isfinite(self.parameters).mean(axis=(1, 2)),
            np.isfinite(self.pools).mean(axis=(0, 1, 3)),
        ]
        finite += [np.isfinite(self.fluxes[name]).mean(axis=(0, 2)) for name in FLUX_NAMES]
        share = np.stack(finite)
        part = (share.min(axis=0) < 1.0) & (share.max(axis=0) > 0.0)
        if part.any():
            at = int(np.argmax(part))
            raise InputError(
                f"ensemble: pixel {self.names[at]} has only some of its numbers ({int(part.sum())} such pixels). "
                "A pixel has all of them, or failed and is NaN throughout."
            )
        for name in _FLAGS:
            if self.diagnostics[name].dtype != bool:
                raise InputError(
                    f"ensemble: {name} is {self.diagnostics[name].dtype}; expected true or false a pixel."
                )
        untold = ~self.diagnostics["converged"] & (np.array([not text for text in self.reason]))
        if untold.any():
            raise InputError(
                f"ensemble: pixel {self.names[int(np.argmax(untold))]} has not converged and gives no reason. Say why."
            )
        wrong = self.failed & (self.diagnostics["converged"] | self.diagnostics["map_quality"])
        if wrong.any():
            raise InputError(
                f"ensemble: pixel {self.names[int(np.argmax(wrong))]} is said to have converged and has no members."
            )

    @property
    def serial(self) -> NDArray[np.int64]:
        """(time,) months from January of year 0."""
        return 12 * self.years + self.months - 1

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(P,) whether a pixel has no members."""
        return ~np.isfinite(self.parameters[:, 0, 0])

    @property
    def size(self) -> tuple[int, int]:
        """Pixels and members of each."""
        return len(self.names), self.parameters.shape[1]


def systematic(shares: Array, rng: np.random.Generator, count: int) -> NDArray[np.intp]:
    """`count` places, each as often as its share (place,) to within one, with one random number (Kitagawa 1996)."""
    total = np.cumsum(shares)
    places = (np.arange(count) + rng.random()) / count * total[-1]
    return np.asarray(np.minimum(np.searchsorted(total, places), shares.size - 1))


def derived_fluxes(gpp: AnyFloat, ra: AnyFloat, rh: AnyFloat, fire: AnyFloat) -> dict[str, AnyFloat]:
    """All of `FLUX_NAMES` from four of them (time, P, M), g C m-2 d-1: NEE = Ra + Rh - GPP, NBE = NEE + fire."""
    nee = ra + rh - gpp
    return {"gpp": gpp, "ra": ra, "rh": rh, "npp": gpp - ra, "nee": nee, "fire": fire, "nbe": nee + fire}


def carbon_use_efficiency(npp: AnyFloat, gpp: AnyFloat, days: Array) -> Array:
    """NPP over GPP of the whole run (P, M), from (time, P, M) and the length of each step (time,) in days."""
    return np.asarray(_total(npp, days) / _total(gpp, days))


def residence_time(pools: AnyFloat, rh: AnyFloat, days: Array) -> Array:
    """Years that carbon stays in litter and SOM (P, M): their mean at the starts of steps over annual Rh.

    pools : (time + 1, 6, P, M) g C m-2.     rh : (time, P, M) g C m-2 d-1.     days : (time,). Twelve steps are a year.
    Loss by fire is not in it.
    """
    dead = pools[:-1, POOLS.index("litter")].astype(np.float64) + pools[:-1, POOLS.index("som")]
    return np.asarray(dead.mean(axis=0) / (_total(rh, days) * 12.0 / days.size))


def leaf_area(pools: AnyFloat, parameters: Array) -> Array:
    """LAI of each step (time, P, M): mean foliage of its start and end over leaf carbon per area (parameters)."""
    foliage = pools[:, POOLS.index("foliage")].astype(np.float64)
    return np.asarray((foliage[1:] + foliage[:-1]) / (2.0 * parameters[:, :, P.LCMA]))


def _total(flux: AnyFloat, days: Array) -> Array:
    """Sum over the run (P, M), g C m-2, in float64 whatever is stored."""
    return np.asarray(np.einsum("tpm,t->pm", flux, days, dtype=np.float64))
