"""Exact solutions of heat conduction in a half space, to judge the column by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import erf, erfc

from talik.errors import ConfigError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Material:
    """Conductivity (W m-1 K-1) and heat capacity (J m-3 K-1) thawed and frozen, and latent heat (J m-3)."""

    k_thawed: float = 1.2
    k_frozen: float = 2.1
    c_thawed: float = 3.1e6
    c_frozen: float = 1.7e6
    latent: float = 1.4362e8


@dataclass(frozen=True, slots=True)
class Neumann:
    """A half space at `initial_c` whose surface is held at `surface_c`, of the other sign, from time 0 on.

    Source: Carslaw and Jaeger (1959), section 11.2. The front stands at 2 lambda sqrt(diffusivity t).
    """

    material: Material
    surface_c: float
    initial_c: float

    def __post_init__(self) -> None:
        if self.surface_c * self.initial_c > 0.0 or self.surface_c == 0.0:
            raise ConfigError(
                f"surface {self.surface_c} and initial temperature {self.initial_c} degC: expected opposite signs, "
                "because nothing freezes or thaws otherwise."
            )

    def _near_far(self) -> tuple[float, float, float, float]:
        """Conductivity and capacity behind the front (the surface's phase), then ahead of it."""
        m = self.material
        thawed, frozen = (m.k_thawed, m.c_thawed), (m.k_frozen, m.c_frozen)
        return (*thawed, *frozen) if self.surface_c > 0.0 else (*frozen, *thawed)

    @property
    def front_number(self) -> float:
        """The lambda of the solution."""
        k, c, k_far, c_far = self._near_far()
        ratio = np.sqrt((k / c) / (k_far / c_far))
        stefan = abs(self.surface_c) * c / self.material.latent

        def balance(number: float) -> float:
            gained = np.exp(-(number**2)) / erf(number)
            ahead = (k_far / k) * ratio * (self.initial_c / self.surface_c)
            lost = ahead * np.exp(-((number * ratio) ** 2)) / erfc(number * ratio)
            return float(gained + lost - number * np.sqrt(np.pi) / stefan)

        return float(brentq(balance, 1e-6, 4.0))

    def front(self, seconds: npt.ArrayLike) -> Array:
        """Depth of the front, m."""
        k, c, _, _ = self._near_far()
        depth: Array = 2.0 * self.front_number * np.sqrt(k / c * np.asarray(seconds, float))
        return depth

    def temperature(self, depth_m: npt.ArrayLike, seconds: float) -> Array:
        """Temperature at depths after a time, degC."""
        k, c, k_far, c_far = self._near_far()
        number, z = self.front_number, np.asarray(depth_m, float)
        near, far = 2.0 * np.sqrt(k / c * seconds), 2.0 * np.sqrt(k_far / c_far * seconds)
        behind = self.surface_c * (1.0 - erf(z / near) / erf(number))
        ahead = self.initial_c * (1.0 - erfc(z / far) / erfc(number * near / far))
        out: Array = np.where(z < number * near, behind, ahead)
        return out


def periodic(
    depth_m: npt.ArrayLike,
    seconds: npt.ArrayLike,
    mean_c: float,
    amplitude_k: float,
    period_s: float,
    diffusivity: float,
) -> Array:
    """Temperature (degC) under a surface at mean + amplitude sin(2 pi t / period), without phase change.

    diffusivity : m2 s-1. Source: Carslaw and Jaeger (1959), section 2.6.
    """
    damping = np.sqrt(diffusivity * period_s / np.pi)
    z, t = np.asarray(depth_m, float), np.asarray(seconds, float)
    out: Array = mean_c + amplitude_k * np.exp(-z / damping) * np.sin(
        2.0 * np.pi * t / period_s - z / damping
    )
    return out
