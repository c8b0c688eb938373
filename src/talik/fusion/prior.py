"""Prior of the parameters: log-uniform between bounds, times Gaussians on a few of them.

The reference walks in the logarithm of each parameter with symmetric steps, so the measure that its Gaussians multiply
is flat in ln x: p(x) is proportional to N(x; mean, sd) / x (Bloom and Williams 2015; Smallman et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.fusion.likelihood import squared_misfits
from talik.fusion.observations import Observations
from talik.fusion.parameters import N_PARAMETERS, P
from talik.fusion.switches import Switches, bounds

Array = jax.Array
Floats = NDArray[np.float64]

CANOPY_EFFICIENCY = {"acm1": (16.9, 7.502), "acm2": (21.1491, 8.534)}
"""Mean and sd of the Gaussian on the canopy efficiency, g C m-2 d-1, by photosynthesis."""
COMBUSTION_OF_SOM = (0.01, 0.05)
"""Of the whole profile; that of a layer near the surface has no Gaussian."""
CYCLE = 365.25
"""Days of the phenological cycle; days of onset and fall count modulo this."""


def log_priors(
    theta: Array, switches: Switches, observations: Observations, *, pure: bool = False
) -> dict[str, Array]:
    """Log of each Gaussian of the prior (pixel, chain), as a density in ln x, without constants, by parameter.

    theta : (28, pixel, chain), not checked against the bounds (`inside` does).     pure : multiply each Gaussian in x
    by x, which makes it the prior density of x itself; one in ln x (a lognormal error) is that already.
    """
    theta = jnp.asarray(theta)
    out: dict[str, Array] = {}
    of_logarithms: set[str] = set()
    for parameter, (mean, sd) in gaussians(switches):
        out[parameter.name.lower()] = -0.5 * ((theta[parameter] - mean) / sd) ** 2
    for parameter, known in ((P.C_SOM, observations.soc), (P.LCMA, observations.lcma)):
        if known is not None:
            out[parameter.name.lower()] = -0.5 * squared_misfits(theta[parameter], known)
            if known.log:
                of_logarithms.add(parameter.name.lower())
    if pure:
        return {
            name: value if name in of_logarithms else value + jnp.log(theta[P[name.upper()]])
            for name, value in out.items()
        }
    return out


def inside(theta: Array, switches: Switches) -> Array:
    """Whether all parameters lie within their bounds (...); theta (28, ...).

    Any finite day of onset or fall does: it counts modulo a cycle, and the bounds hold three whole cycles.
    """
    low, high = (bound.reshape((-1,) + (1,) * (theta.ndim - 1)) for bound in bounds(switches))
    day = np.isin(np.arange(N_PARAMETERS), (P.D_ON, P.D_OFF)).reshape(low.shape)
    return (jnp.isfinite(theta) & (day | ((theta >= low) & (theta <= high)))).all(axis=0)


def draw_prior(rng: np.random.Generator, n: int, switches: Switches, *, one_cycle: bool = True) -> Floats:
    """Draws from the log-uniform box (28, n), without its Gaussians and constraints.

    one_cycle : the days of onset and fall are uniform over one cycle, of which the bounds hold three equal copies;
    otherwise log-uniform like the rest, which is the measure of the reference.
    """
    low, high = bounds(switches)
    u = rng.uniform(size=(N_PARAMETERS, n))
    theta = low[:, None] * (high / low)[:, None] ** u
    if one_cycle:
        days = [P.D_ON, P.D_OFF]
        theta[days] = low[days, None] + CYCLE * u[days]
    return np.asarray(np.clip(theta, low[:, None], high[:, None]))


def gaussians(switches: Switches) -> Iterator[tuple[P, tuple[float, float]]]:
    """Parameters with a Gaussian in the prior of every pixel, its mean and sd."""
    if switches.ra_gpp is not None:
        yield P.F_A, switches.ra_gpp
    yield P.C_EFF, CANOPY_EFFICIENCY[switches.photosynthesis]
    if switches.som_burnt == "profile":
        yield P.CC_SOM, COMBUSTION_OF_SOM
