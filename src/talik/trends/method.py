"""Which trend method, with which settings; and running it over arrays of series."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from talik.errors import ConfigError, InputError

Float64: TypeAlias = npt.NDArray[np.float64]
Int64: TypeAlias = npt.NDArray[np.int64]
MethodName: TypeAlias = Literal["none", "zhang", "yue-pilon", "conservative"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
LONGEST = 5_000
"""Steps of a series; all pairwise slopes of one are held, 100 MB at this length."""
_PRESERVE_DEFAULT = {"none": False, "zhang": False, "yue-pilon": True, "conservative": True}
_TOLD = {
    "none": "Theil-Sen slope and Mann-Kendall test, no prewhitening",
    "zhang": "Theil-Sen slope and Mann-Kendall test, iterative prewhitening of Zhang et al. (2000)",
    "yue-pilon": "Theil-Sen slope and Mann-Kendall test, trend-free prewhitening of Yue et al. (2002)",
    "conservative": ("Theil-Sen slope and Mann-Kendall test, prewhitened once where residual r1 > 0"),
}


@dataclass(frozen=True, slots=True)
class Method:
    """A checked trend method."""

    name: MethodName = "zhang"
    preserve: bool = False
    """Whether the first prewhitening divides by 1 - c (zhang), or the only one (yue-pilon); unused by the others."""
    confidence: float = 0.95
    """Level of the limits of the slope."""

    @classmethod
    def of(cls, name: str, preserve: bool | None = None, confidence: float = 0.95) -> Method:
        """The method with its defaults: `preserve` is off for zhang (zyp 0.11) and on for yue-pilon.

        ConfigError if the name is unknown, `preserve` means nothing to it, or confidence is not between 0 and 1.
        """
        known = {str(m): m for m in METHODS}
        if name not in known:
            raise ConfigError(f"trend method {name!r} is unknown; choose one of: {', '.join(METHODS)}.")
        if preserve is not None and name not in ("zhang", "yue-pilon"):
            raise ConfigError(
                f"preserve={preserve} was given, but method {name!r} has no such choice; only zhang and yue-pilon do."
            )
        if not 0.0 < confidence < 1.0:
            raise ConfigError(f"confidence is {confidence}; expected a share between 0 and 1, such as 0.95.")
        return cls(known[name], _PRESERVE_DEFAULT[name] if preserve is None else preserve, float(confidence))

    @property
    def told(self) -> str:
        """The method in words, for metadata."""
        text = _TOLD[self.name]
        return f"{text}, preserve {'on' if self.preserve else 'off'}" if "al." in text else text


def run_ragged(y: Float64, offset: Int64, method: Method, threads: int = 1) -> Float64:
    """Trend of each series ``y[offset[k]:offset[k+1]]``; returns (series, len(prewhitening.COLUMNS)).

    Values that are not finite are missing. A series depends on itself alone: `threads` changes no byte.
    InputError if a series is longer than `LONGEST`.
    """
    from talik.trends import prewhitening as kernel

    if len(offset) > 1 and int(np.diff(offset).max()) > LONGEST:
        raise InputError(
            f"a series has {int(np.diff(offset).max())} time steps; expected at most {LONGEST}. "
            "Look for a wrong time, or aggregate."
        )
    y = np.where(np.isfinite(y), y, np.nan)
    out = np.empty((len(offset) - 1, len(kernel.COLUMNS)))
    settings = (METHODS.index(method.name), method.preserve, float(ndtri(0.5 + 0.5 * method.confidence)))
    if threads == 1 or len(out) < 2 * threads:
        kernel.run(y, offset, *settings, out)
        return out
    edges = np.linspace(0, len(out), 8 * threads + 1).astype(np.int64)
    with ThreadPoolExecutor(threads) as workers:
        parts = itertools.pairwise(edges)
        done = [workers.submit(kernel.run, y, offset[a : b + 1], *settings, out[a:b]) for a, b in parts]
        for part in done:
            part.result()
    return out


def run_array(y: npt.NDArray[np.floating], method: Method, threads: int = 1) -> Float64:
    """Trend along the last axis of y (..., time); returns (..., len(prewhitening.COLUMNS))."""
    from talik.trends import prewhitening as kernel

    n = y.shape[-1]
    flat = np.ascontiguousarray(y, dtype=np.float64).reshape(-1)
    offset = np.arange(int(np.prod(y.shape[:-1], dtype=np.int64)) + 1, dtype=np.int64) * n
    return run_ragged(flat, offset, method, threads).reshape(*y.shape[:-1], len(kernel.COLUMNS))
