"""Coordinates in which the posterior of DALEC is nearly Gaussian.

Three changes to the parameters, all with known Jacobians. Boxes: the logit of where ln x lies between its bounds, and
where one parameter bounds another (k_som and k_litter_to_som, leaf life and wood turnover, ...) between the
conditional bounds, so that the static constraints hold everywhere. Phenology: days from a fixed day after the offset
of the rate's peak, without ends, as a year is a circle. Months see a bell curve of release only by its values in the
middle of two months; their log ratio is the distance of its peak from the turn of the months, over its squared width.
That is what observations fix, to a part of a day where the release is short, so the day of onset is measured in units
that grow with the squared width near the turn of the month in which spring comes. Pools: logarithms of how far each
is from the seasonal cycle that the other parameters would keep under the mean months of the first two years; for
foliage the level of that cycle's leaf area, because leaf area feeds photosynthesis and leaf carbon per area (LCMA)
does not matter without it. Photosynthesis of the cycle is that of ACM1 whatever the model uses: coordinates need only
be near.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from talik.fusion.acm1 import Sky, gpp, sky
from talik.fusion.drivers import Drivers
from talik.fusion.parameters import P, bounds_of
from talik.fusion.phenology import (
    LABILE_LIFE,
    YEAR,
    fall,
    length_of,
    offset,
    onset,
    sines,
    step_share,
    width_of,
)
from talik.fusion.switches import Switches, bounds

Array = jax.Array

DAYS = 20.0
"""Days of phenology per unit of a coordinate."""
FALL_DAY = YEAR + 255.0
"""Where the coordinate of the day of fall is zero: middle of September, one year on."""
SPRING, LATEST_TURN = 3.0, 151.0
"""Spring comes in the first month that is warmer, degC; the turn of May where no month is."""
NARROW, WIDE = 20.0, 40.0
"""Widths of the release, days, at which a unit of the onset coordinate has `DAYS` days, and beyond which it stays."""
CYCLE = YEAR / DAYS
"""A year in units of a coordinate."""
SHAPE_LAI = 2.0
"""Leaf area at which the shape of the seasonal cycle is found."""
LEAST_KEPT = 1e-6
"""A pool of the seasonal cycle keeps at least this share of itself in a step."""
SPREAD = 0.8
"""Standard deviation of the reference density of the coordinates of pools and leaf area."""
EDGE = 0.02
"""Softness of the bounds of pools and LCMA, in ln units."""

DISTANCES = (P.LCMA, P.C_LAB, P.C_FOL, P.C_ROO, P.C_WOO, P.C_LIT, P.C_SOM)
"""Parameters whose coordinates are distances from the seasonal cycle."""
CIRCULAR = (P.D_ON, P.D_OFF)
BOXES = tuple(p for p in P if p not in DISTANCES and p not in CIRCULAR)
WIDEST = tuple(1.0 if p in CIRCULAR else float("inf") for p in P)
"""What a metric may hold: days that nothing tells go round the year, but what they do changes within weeks."""
_RELEASE = tuple(float(np.log(b[P.W_ON])) for b in bounds_of("c1"))  # the same in every set of bounds


class Placed(NamedTuple):
    """Parameters at some coordinates.

    theta : (28, pixel, chain).     log_jacobian : (pixel, chain), ln of d ln(theta) / d u (days for phenology).
    edge : (pixel, chain), ln of the soft bounds of pools and LCMA, near 0 inside.
    """

    theta: Array
    log_jacobian: Array
    edge: Array


def mean_year(drivers: Drivers) -> Drivers:
    """Twelve steps, the means of the first two years step by step (of the first year if there is but one).

    drivers : whole months, at least 12 steps.     Disturbance is left out.
    """
    years = 2 if drivers.dt.shape[0] >= 24 else 1

    def mean(x: Array) -> Array:
        return x[: 12 * years].reshape(years, 12, *x.shape[1:]).mean(axis=0)

    names = ("tmin", "tmax", "sw", "co2", "vpd", "wind")
    first = {name: mean(getattr(drivers, name)) for name in names}
    nothing = jnp.zeros_like(first["tmin"])
    return Drivers(
        **first,
        dt=drivers.dt[:12],
        doy_end=drivers.doy_end[:12],
        burned=nothing,
        loss=nothing,
        latitude=drivers.latitude,
        scenario=drivers.scenario,
        fires=False,
        losses=False,
    )


def to_parameters(u: Array, year: Drivers, mean_temperature: Array, switches: Switches) -> Placed:
    """Parameters at coordinates u (pixel, 28, chain).

    year : of `mean_year`.     mean_temperature : of the whole run (pixel, 1), degC.
    """
    coordinate = jnp.moveaxis(u, 1, 0)
    theta, log_jacobian = _boxes(coordinate, mean_temperature, switches)
    ratio = _onset_ratio(theta[P.W_ON])
    log_jacobian += _log_turning(coordinate[P.D_ON], ratio)
    peak = _spring(year) + DAYS * _turned(coordinate[P.D_ON], ratio)
    theta[P.D_ON] = peak + offset(LABILE_LIFE, width_of(theta[P.W_ON]))
    theta[P.D_OFF] = FALL_DAY + DAYS * coordinate[P.D_OFF] + offset(theta[P.L_F], width_of(theta[P.W_OFF]))
    cycle = seasonal_cycle(theta, coordinate[P.C_FOL], year, switches)
    theta[P.LCMA] = jnp.exp(coordinate[P.LCMA]) / cycle.area_per_carbon
    theta[P.C_FOL] = theta[P.LCMA] * jnp.exp(coordinate[P.C_FOL]) * cycle.first_share
    for p, start in cycle.starts.items():
        theta[p] = start * jnp.exp(coordinate[p])
    whole = jnp.stack([theta[p] for p in P])
    low, high = (np.log(b)[list(DISTANCES), None, None] for b in bounds(switches))
    ln = jnp.log(whole[np.array(DISTANCES)])
    edge = jax.nn.log_sigmoid((ln - low) / EDGE) + jax.nn.log_sigmoid((high - ln) / EDGE)
    return Placed(whole, log_jacobian, edge.sum(axis=0))


def from_parameters(theta: Array, year: Drivers, mean_temperature: Array, switches: Switches) -> Array:
    """Coordinates (pixel, 28, chain) of parameters (28, pixel, chain); infinite on a bound."""
    rows = {p: jnp.asarray(theta)[p] for p in P}
    out = {}
    for p in BOXES:
        low, high = _limits(p, rows, mean_temperature, switches)
        share = (jnp.log(rows[p]) - low) / (high - low)
        out[p] = jnp.log(share) - jnp.log1p(-share)
    peak = rows[P.D_ON] - offset(LABILE_LIFE, width_of(rows[P.W_ON]))
    out[P.D_ON] = _turned((peak - _spring(year)) / DAYS, 1.0 / _onset_ratio(rows[P.W_ON]))
    out[P.D_OFF] = (rows[P.D_OFF] - FALL_DAY - offset(rows[P.L_F], width_of(rows[P.W_OFF]))) / DAYS
    first_share = seasonal_cycle(rows, jnp.zeros(()), year, switches).first_share
    out[P.C_FOL] = jnp.log(rows[P.C_FOL] / rows[P.LCMA] / first_share)
    cycle = seasonal_cycle(rows, out[P.C_FOL], year, switches)
    out[P.LCMA] = jnp.log(rows[P.LCMA] * cycle.area_per_carbon)
    for p, start in cycle.starts.items():
        out[p] = jnp.log(rows[p] / start)
    return jnp.moveaxis(jnp.stack([jnp.broadcast_to(out[p], rows[P.F_A].shape) for p in P]), 0, 1)


def log_reference(u: Array) -> Array:
    """Log density (pixel, chain) from which tempering starts: flat in boxes and on circles, normal in distances."""
    boxes = u[:, np.array(BOXES)]
    distances = u[:, np.array(DISTANCES)]
    flat = _log_slope(boxes)
    normal = -0.5 * (distances / SPREAD) ** 2 - np.log(SPREAD * np.sqrt(2.0 * np.pi))
    circles = len(CIRCULAR) * np.log(CYCLE) - _log_turning(u[:, P.D_ON], _onset_ratio(_release(u)))
    found: Array = flat.sum(axis=1) + normal.sum(axis=1) - circles
    return found


def draw_reference(keys: Array, chains: int) -> Array:
    """Draws (pixel, 28, chain) of the reference density, from a random key of each pixel (pixel,)."""

    def of_pixel(key: Array) -> Array:
        of_boxes, of_distances, of_circles = jax.random.split(key, 3)
        boxes = jax.random.logistic(of_boxes, (len(BOXES), chains))
        distances = SPREAD * jax.random.normal(of_distances, (len(DISTANCES), chains))
        circles = CYCLE * (jax.random.uniform(of_circles, (len(CIRCULAR), chains)) - 0.5)
        u = jnp.zeros((len(P), chains)).at[np.array(BOXES)].set(boxes)
        u = u.at[np.array(DISTANCES)].set(distances).at[np.array(CIRCULAR)].set(circles)
        return u.at[P.D_ON].set(_turned(u[P.D_ON], 1.0 / _onset_ratio(_release(u[None])[0])))

    return jax.vmap(of_pixel)(keys)


def wrap(u: Array) -> Array:
    """The same points with each phenology coordinate within half a cycle of the circular mean of its pixel's chains."""
    at = np.array(CIRCULAR)
    angle = u[:, at] * (2.0 * np.pi / CYCLE)
    mean = jnp.arctan2(jnp.sin(angle).mean(axis=-1), jnp.cos(angle).mean(axis=-1))[..., None]
    turned = jnp.mod(angle - mean + np.pi, 2.0 * np.pi) - np.pi + mean
    return u.at[:, at].set(turned * (CYCLE / (2.0 * np.pi)))


def _spring(year: Drivers) -> Array:
    """Day of the turn of the month in which spring comes (pixel, 1), in the second year."""
    warm = (jnp.asarray(year.tmin) + jnp.asarray(year.tmax)) / 2.0 > SPRING
    comes = warm & ~jnp.roll(warm, 1, axis=0)
    ends = jnp.broadcast_to(jnp.asarray(year.doy_end), comes.shape)
    found = jnp.take_along_axis(ends, comes.argmax(axis=0)[None], axis=0)[0]
    return YEAR + jnp.where(comes.any(axis=0), found, LATEST_TURN)


def _onset_ratio(period: Array) -> Array:
    """`DAYS` per unit of the coordinate of onset where spring comes, for a release that lasts `period` days."""
    squared = jnp.square(width_of(period))
    return (squared / NARROW**2) / (1.0 + squared / WIDE**2)


def _turned(u: Array, ratio: Array) -> Array:
    """Möbius' map of the circle onto itself that stretches it by `ratio` at 0, and by its inverse half a year away.

    So a unit is `ratio` times `DAYS` where spring comes, a cycle is still a year, and the map with 1 / ratio undoes it.
    """
    half = u * (np.pi / CYCLE)
    return jnp.arctan2(ratio * jnp.sin(half), jnp.cos(half)) * (CYCLE / np.pi)


def _log_turning(u: Array, ratio: Array) -> Array:
    """ln of the slope of `_turned`."""
    half = u * (np.pi / CYCLE)
    return jnp.log(ratio) - jnp.log(jnp.square(jnp.cos(half)) + jnp.square(ratio * jnp.sin(half)))


def _release(u: Array) -> Array:
    """How long the release lasts, days (pixel, chain), at coordinates u (pixel, 28, chain)."""
    share = jax.nn.sigmoid(u[:, P.W_ON])
    return jnp.exp(_RELEASE[0] + (_RELEASE[1] - _RELEASE[0]) * share)


class SeasonalCycle(NamedTuple):
    """The cycle that repeats itself under the mean months, at a level of leaf area.

    area_per_carbon : leaf area per foliar carbon at which the level is kept, m2 g-1 (1/LCMA).     first_share : leaf
    area at the first step over the mean of the year.     starts : of the other pools, g C m-2 at the first step.
    """

    area_per_carbon: Array
    first_share: Array
    starts: dict[P, Array]


def seasonal_cycle(
    theta: dict[P, Array], log_level: Array, year: Drivers, switches: Switches
) -> SeasonalCycle:
    """The seasonal cycle whose mean leaf area is exp(log_level).

    The path of leaf area is passed on twice, from its shape at LAI 2 to the one that its own photosynthesis makes.
    """
    above = sky(year, switches.winter_stop)
    kept = _kept(theta, year)
    level = jnp.exp(log_level)

    def made_by(lai: Array, _: None) -> tuple[Array, tuple[Array, _FastPools]]:
        """The path of leaf area at its level, of the photosynthesis that `lai` makes."""
        pools = _fast_pools(theta, above, kept, lai, year)
        area_per_carbon = level / pools.foliage.mean(axis=0)
        return area_per_carbon * pools.foliage, (area_per_carbon, pools)

    # one loop, not three copies, because compiling it is what costs
    flat = jnp.full(jnp.broadcast_shapes(kept.foliage.shape, jnp.shape(level)), SHAPE_LAI)
    _, (areas, paths) = jax.lax.scan(made_by, flat, None, length=3)
    pools = jax.tree.map(lambda x: x[-1], paths)
    area_per_carbon = areas[-1]
    first_share = (areas[0] / level) * paths.foliage[0, 0]
    loss_root = 1.0 - kept.root
    root = _repeats(kept.root, pools.to_root)
    into_litter = pools.foliage * (1.0 - kept.foliage) + root * loss_root
    litter = _repeats(kept.litter, into_litter)
    to_som = (litter * kept.litter_to_som).sum(axis=0)
    wood_in = pools.to_wood.sum(axis=0)
    starts = {
        P.C_LAB: pools.labile[0],
        P.C_ROO: root[0],
        P.C_WOO: wood_in / (1.0 - kept.wood).sum(axis=0),
        P.C_LIT: litter[0],
        P.C_SOM: (wood_in + to_som) / (1.0 - kept.som).sum(axis=0),
    }
    return SeasonalCycle(area_per_carbon, first_share, starts)


_TRIANGLE = np.tril(np.ones((12, 12)))


class _Kept(NamedTuple):
    """Share of each pool that a step leaves (12, pixel, chain), and share of litter that becomes SOM."""

    labile: Array
    foliage: Array
    root: Array
    wood: Array
    litter: Array
    litter_to_som: Array
    som: Array


class _FastPools(NamedTuple):
    """Labile and foliar carbon at each step, and what roots and wood get in it, g C m-2 (12, pixel, chain)."""

    labile: Array
    foliage: Array
    to_root: Array
    to_wood: Array


def _kept(theta: dict[P, Array], year: Drivers) -> _Kept:
    length, day = length_of(year.dt), sines(year.mid_day)

    def left(rate: Array) -> Array:
        return 1.0 - step_share(rate, length)

    warm = jnp.exp(theta[P.THETA] * year.mean_temperature)
    respired = step_share(warm * theta[P.K_L], length)
    turned = step_share(warm * theta[P.K_LS], length)
    return _Kept(
        labile=left(onset(theta).rate(*day)),
        foliage=left(fall(theta).rate(*day)),
        root=left(theta[P.K_R]),
        wood=left(theta[P.K_W]),
        litter=jnp.maximum(1.0 - respired - turned, LEAST_KEPT),
        litter_to_som=turned,
        som=left(warm * theta[P.K_S]),
    )


def _fast_pools(theta: dict[P, Array], above: Sky, kept: _Kept, lai: Array, year: Drivers) -> _FastPools:
    npp = (1.0 - theta[P.F_A]) * gpp(above, theta[P.C_EFF], lai) * year.dt
    to_foliage = theta[P.F_F] * npp
    to_labile = theta[P.F_L] * (npp - to_foliage)
    rest = npp - to_foliage - to_labile
    labile = _repeats(kept.labile, to_labile)
    foliage = _repeats(kept.foliage, to_foliage + labile * (1.0 - kept.labile))
    to_root = theta[P.F_R] * rest
    return _FastPools(labile, foliage, to_root, rest - to_root)


def _limits(
    p: P, theta: dict[P, Array], mean_temperature: Array, switches: Switches
) -> tuple[Array | float, Array | float]:
    """ln of the bounds of a parameter, given those of `_FREE` and those before it in `_BOUND`."""
    low, high = (float(np.log(b[p])) for b in bounds(switches))
    if switches.constraints == "none":
        return low, high
    if p in (P.K_LS, P.K_L):
        return jnp.maximum(low, jnp.log(theta[P.K_S])), high
    if p is P.K_R:
        return jnp.maximum(low, jnp.log(theta[P.K_S]) + theta[P.THETA] * mean_temperature), high
    if p is P.K_W:
        return low, jnp.minimum(high, -jnp.log(YEAR * theta[P.L_F]))
    if p is P.F_R:
        foliage, labile = theta[P.F_F], theta[P.F_L]
        leaves = jnp.log((foliage + (1.0 - foliage) * labile) / ((1.0 - foliage) * (1.0 - labile)))
        return jnp.maximum(low, leaves - _FIVE), jnp.minimum(high, leaves + _FIVE)
    if p is P.CC_LIV:
        return jnp.maximum(low, jnp.log(theta[P.CC_SOM])), high
    if p in (P.CC_FOL, P.CC_LIT):
        return jnp.maximum(low, jnp.log(theta[P.CC_LIV])), high
    return low, high


_FIVE = float(np.log(5.0))
_BOUND = (P.K_LS, P.K_L, P.K_R, P.K_W, P.F_R, P.CC_LIV, P.CC_FOL, P.CC_LIT)
_FREE = tuple(p for p in BOXES if p not in _BOUND)
"""Boxes with fixed bounds, and those that others bound, in an order in which they can be found."""


def _boxes(coordinate: Array, mean_temperature: Array, switches: Switches) -> tuple[dict[P, Array], Array]:
    """Parameters with boxes, and the log Jacobian; free boxes as one array, which compiles sooner than one by one."""
    share = jax.nn.sigmoid(coordinate)
    low, high = (np.log(b)[list(_FREE), None, None] for b in bounds(switches))
    free = jnp.exp(low + (high - low) * share[np.array(_FREE)])
    theta: dict[P, Array] = dict(zip(_FREE, free, strict=True))
    log_jacobian = np.log(high - low).sum() + _log_slope(coordinate[np.array(BOXES)]).sum(axis=0)
    for p in _BOUND:
        least, most = _limits(p, theta, mean_temperature, switches)
        width = most - least
        theta[p] = jnp.exp(least + width * share[p])
        log_jacobian += jnp.log(width)
    return theta, log_jacobian


def _log_slope(u: Array) -> Array:
    """ln of the slope of the sigmoid."""
    away = jnp.abs(u)
    return -away - 2.0 * jnp.log1p(jnp.exp(-away))


def _repeats(kept: Array, gained: Array) -> Array:
    """x (12, ...) with x[t + 1] = kept[t] x[t] + gained[t] that comes back to itself after the last step."""
    # products as exp of sums of logs, and sums as a product with a triangle: both compile and differentiate quickly
    whole = jnp.exp(jnp.tensordot(_TRIANGLE, jnp.log(jnp.broadcast_to(kept, gained.shape)), 1))
    came = jnp.tensordot(_TRIANGLE, gained / whole, 1)
    first = whole[-1] * came[-1] / (1.0 - whole[-1])
    after = whole * (first + came)
    return jnp.concatenate([first[None], after[:-1]])
