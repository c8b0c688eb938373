"""Ecological and dynamic constraints of DALEC as signed log violations: one value says pass, and by how much.

Sources: the constraints are those of Bloom and Williams (2015), in the forms of the Edinburgh code (Smallman et al.
2021), of Bloom et al. (2016) and of the set of 2015. A year of a run is twelve steps, counted from its start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from talik.errors import ConfigError
from talik.fusion.dalec import allocation
from talik.fusion.disturbance import burn_shares
from talik.fusion.drivers import Drivers
from talik.fusion.parameters import INITIAL, POOLS, P, bounds_of
from talik.fusion.switches import Switches
from talik.fusion.trajectory import Trajectory

Array = jax.Array
Named = tuple[str, Array]
Window = tuple[int, int]
"""First step, and the one after the last."""

YEAR = 12
"""Steps of a year."""
DAYS = 365.25
IMPOSSIBLE = 1e3
"""Margin of what has no measure: pools that are not finite or negative. Its negative is a pass."""
ROUNDING = 0.005
"""Half width of the rounded tip of an absolute value, in log units, for gradients."""

_FACTOR_2, _FACTOR_5, _FACTOR_10 = np.log(2.0), np.log(5.0), np.log(10.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Margins:
    """By how much each constraint is violated, in log units; positive fails, 0 or less passes.

    static : of the parameters alone, (n, ...).     dynamic : of the trajectory, (m, ...). Names such as
    "S3" and "D2 wood high" are in the same order; a limit on both sides is two constraints.
    """

    static: Array
    dynamic: Array
    static_names: tuple[str, ...] = field(metadata={"static": True})
    dynamic_names: tuple[str, ...] = field(metadata={"static": True})


class Scales(NamedTuple):
    """Log units over which a constraint is smoothed: parameters, trajectory, and change of input to output."""

    static: float = 0.03
    dynamic: float = 0.03
    steady: float = 0.02

    def of(self, name: str) -> float:
        """The scale of one constraint."""
        if name.startswith("S"):
            return self.static
        return self.steady if name.startswith(("D3", "J steady")) else self.dynamic


def margins(
    theta: Array, trajectory: Trajectory, drivers: Drivers, switches: Switches, rounding: float = 0.0
) -> Margins:
    """Signed log violations of the constraints that `switches` asks for.

    theta : (28, ...).     rounding : 0 for the verdict; `ROUNDING` where a gradient is wanted: tips of absolute
    values are rounded, and balances are taken from stocks, which costs less.
    ConfigError: the run is too short for a constraint.
    """
    batch = trajectory.pools.shape[2:]
    totals: Totals = pool_totals
    if rounding and trajectory.fluxes.cut is None:
        totals = partial(totals_by_stocks, theta, switches)
    none = switches.constraints == "none"
    static = [] if none else _static(theta, drivers)
    dynamic = [] if none else _ratio_of_leaves_and_roots(trajectory)
    match switches.constraints:
        case "edinburgh":
            dynamic += _edinburgh(trajectory, drivers, switches, rounding, totals)
        case "jpl":
            dynamic += _jpl(trajectory, drivers, switches)
        case "b15":
            dynamic += _b15(theta, trajectory, drivers)
        case "none":
            pass
    dynamic += _sound_pools(trajectory.pools)
    if switches.photosynthesis == "acm2" and not none:
        dynamic += _sound_canopy(theta, trajectory, drivers)
    return Margins(
        _stack(static, batch),
        _stack(dynamic, batch),
        tuple(name for name, _ in static),
        tuple(name for name, _ in dynamic),
    )


def hard_pass(found: Margins) -> Array:
    """Whether every constraint holds (...); not where one is NaN."""
    return jnp.logical_and((found.static <= 0).all(axis=0), (found.dynamic <= 0).all(axis=0))


def n_failed(found: Margins) -> Array:
    """Number of constraints that fail (...)."""
    return (~(found.static <= 0)).sum(axis=0) + (~(found.dynamic <= 0)).sum(axis=0)


def log_penalty(found: Margins, scales: Scales = Scales()) -> Array:  # noqa: B008  (immutable)
    """Sum of log sigmoid(-margin / scale) over the constraints (...), 0 or less: a smooth verdict."""
    total = jnp.zeros(found.dynamic.shape[1:])
    for values, names in ((found.static, found.static_names), (found.dynamic, found.dynamic_names)):
        scale = np.array([scales.of(name) for name in names]).reshape((-1,) + (1,) * (values.ndim - 1))
        total += jax.nn.log_sigmoid(-values / scale).sum(axis=0)
    return total


class Totals(Protocol):
    """Carbon that enters and leaves each pool in each window, (window, 6, ...) each."""

    def __call__(
        self, trajectory: Trajectory, drivers: Drivers, windows: Sequence[Window]
    ) -> tuple[Array, Array]:
        """Input and output."""


def pool_totals(trajectory: Trajectory, drivers: Drivers, windows: Sequence[Window]) -> tuple[Array, Array]:
    """All carbon that enters and leaves each pool in each window, g C m-2, (window, 6, ...) each.

    Fire counts on both sides, cut carbon and the SOM lost with it as output; what a cut leaves on the site is not
    counted as input of litter and SOM (as in the reference).
    """
    flux, total = trajectory.fluxes, _summed(drivers, windows)
    release, fall = total(flux.release), total(flux.fall)
    wood, root, to_som = total(flux.wood_turnover), total(flux.root_turnover), total(flux.litter_to_som)
    entering = [
        total(flux.to_labile),
        total(flux.to_foliage) + release,
        total(flux.to_root),
        total(flux.to_wood),
        fall + root,
        wood + to_som,
    ]
    leaving = [release, fall, root, wood, total(flux.rh_litter) + to_som, total(flux.rh_som)]
    if flux.emission is not None and flux.mortality is not None:
        burnt, killed = total(flux.emission), total(flux.mortality)
        entering[4] += killed[:, :3].sum(axis=1)
        entering[5] += killed[:, 3:].sum(axis=1)
        leaving = [out + burnt[:, i] + (killed[:, i] if i < 5 else 0.0) for i, out in enumerate(leaving)]
    if flux.cut is not None and flux.som_loss is not None:
        cut = total(flux.cut)
        leaving = [out + cut[:, i] if i < 4 else out for i, out in enumerate(leaving)]
        leaving[5] += total(flux.som_loss)
    return jnp.stack(entering, axis=1), jnp.stack(leaving, axis=1)


def balance_ratios(
    trajectory: Trajectory, drivers: Drivers, windows: Sequence[Window], totals: Totals = pool_totals
) -> Array:
    """ln of input to output of each pool in each window (window, 6, ...)."""
    entering, leaving = totals(trajectory, drivers, windows)
    return jnp.log(entering) - jnp.log(leaving)


def totals_by_stocks(
    theta: Array, switches: Switches, trajectory: Trajectory, drivers: Drivers, windows: Sequence[Window]
) -> tuple[Array, Array]:
    """As `pool_totals` without forest loss, from GPP, one flux and stocks: what entered and did not stay has left.

    A gradient is limited by memory, and this reads two fluxes instead of nineteen.
    """
    flux, pools, part = trajectory.fluxes, trajectory.pools, allocation(theta)
    total = _summed(drivers, windows)
    gained = jnp.stack([pools[stop] - pools[start] for start, stop in windows])
    gpp, to_som = total(flux.gpp), total(flux.litter_to_som)
    lost: Sequence[Array | float] = (0.0,) * 5
    killed: Sequence[Array | float] = (0.0,) * 5
    if flux.emission is not None:
        shares = burn_shares(theta, switches)
        burnt = total(flux.emission)
        killed = [burnt[:, i] * (shares.mortality[i] / shares.emission[i]) for i in range(5)]
        lost = [burnt[:, i] + dead for i, dead in enumerate(killed)]
    entering = [part.labile * gpp]
    leaving = [entering[0] - gained[:, 0]]
    release = leaving[0] - lost[0]
    for i, share in ((1, part.foliage), (2, part.root), (3, part.wood)):
        entering.append(share * gpp + (release if i == 1 else 0.0))
        leaving.append(entering[i] - gained[:, i])
    fall, root, wood = (leaving[i] - lost[i] for i in (1, 2, 3))
    entering.append(fall + root + killed[0] + killed[1] + killed[2])
    entering.append(wood + to_som + killed[3] + killed[4])
    leaving += [entering[i] - gained[:, i] for i in (4, 5)]
    return jnp.stack(entering, axis=1), jnp.stack(leaving, axis=1)


def _summed(drivers: Drivers, windows: Sequence[Window]) -> Callable[[Array], Array]:
    """Sums of a daily rate (time, ...) over each window (window, ...), as one product: fewer passes than one by one."""
    dt = jnp.asarray(drivers.dt)
    within = np.zeros((len(windows), dt.shape[0]))
    for row, (start, stop) in zip(within, windows, strict=True):
        row[start:stop] = 1.0

    def total(rate: Array) -> Array:
        return jnp.tensordot(within, rate * (dt if rate.ndim == dt.ndim else dt[:, None]), 1)

    return total


def balance_window(steps: int) -> Window:
    """First step, and the one after the last, of the window of D2: without the first two years if there are three."""
    return (2 * YEAR if steps >= 3 * YEAR else 0), steps


def _static(theta: Array, drivers: Drivers) -> list[Named]:
    warmth = jnp.asarray(drivers.mean_temperature).mean(axis=0)
    log = jnp.log(theta)
    foliage, labile, root, _ = _shares_of_gpp(theta)
    return [
        ("S1", log[P.K_S] - log[P.K_L]),
        ("S2", log[P.K_S] - log[P.K_LS]),
        ("S3", log[P.K_W] + log[P.L_F] + np.log(DAYS)),
        ("S4", log[P.K_S] + theta[P.THETA] * warmth - log[P.K_R]),
        *_within("S5", jnp.log(foliage + labile) - jnp.log(root), _FACTOR_5),
        ("S6", log[P.CC_LIV] - log[P.CC_FOL]),
        ("S7", log[P.CC_SOM] - log[P.CC_LIV]),
        ("S8", log[P.CC_LIV] - log[P.CC_LIT]),
    ]


def _shares_of_gpp(theta: Array) -> tuple[Array, Array, Array, Array]:
    """Shares of GPP that go to foliage directly, labile, fine root and wood."""
    rest = 1 - theta[P.F_A]
    foliage = rest * theta[P.F_F]
    labile = (rest - foliage) * theta[P.F_L]
    root = (rest - foliage - labile) * theta[P.F_R]
    return foliage, labile, root, rest - foliage - labile - root


def _ratio_of_leaves_and_roots(trajectory: Trajectory) -> list[Named]:
    mean = jnp.log(trajectory.pools[:, 1:3].mean(axis=0))
    return _within("D1", mean[0] - mean[1], _FACTOR_5)


def _edinburgh(
    trajectory: Trajectory, drivers: Drivers, switches: Switches, rounding: float, totals: Totals
) -> list[Named]:
    """D2: input and output within a factor of 2. D3: their log ratio changes little."""
    steps = trajectory.fluxes.gpp.shape[0]
    late = balance_window(steps)
    if switches.steady != "none":
        _need(steps, 2, f"D3 (steady: {switches.steady})", "steady: none")
    early = {
        "none": [],
        "ratio2022": [(0, 2 * YEAR)],
        "absolute": [(0, YEAR), (YEAR, 2 * YEAR)],
        "difference": [(0, YEAR), (YEAR, 2 * YEAR)],
    }[switches.steady]
    if not (switches.balance or early):
        return []
    ratios = balance_ratios(trajectory, drivers, [late, *early], totals)
    out = _pools("D2", ratios[0], _FACTOR_2) if switches.balance else []
    match switches.steady:
        case "difference":
            return out + _pools("D3", ratios[1] - ratios[2], switches.steady_tolerance)
        case "absolute":
            change = _absolute(ratios[1], rounding) - _absolute(ratios[2], rounding)
            return out + _pools("D3", change, switches.steady_tolerance)
        case "ratio2022":
            change = _absolute(ratios[1], rounding) - _absolute(ratios[0], rounding)
            return out + _pools("D3", change, _FACTOR_2)
        case "none":
            return out


def _jpl(trajectory: Trajectory, drivers: Drivers, switches: Switches) -> list[Named]:
    """Bloom et al. (2016): stocks at the anniversaries of the start stand near the steady state they imply."""
    pools = trajectory.pools
    steps = trajectory.fluxes.gpp.shape[0]
    log_mean = balance_ratios(trajectory, drivers, [(0, steps)])[0]
    log_steady = log_mean + jnp.log(pools[::YEAR].mean(axis=0)) - jnp.log(pools[0])
    top = np.log(bounds_of(switches.bounds)[1][list(INITIAL)])
    stock = jnp.log(pools.mean(axis=0))
    return [
        *_pools("J ratio", log_steady, _FACTOR_2),
        *_pools("J steady", jnp.exp(log_steady) - jnp.exp(log_mean), 0.1),
        *((f"J stock {name}", stock[i] - top[i]) for i, name in enumerate(POOLS)),
    ]


def _b15(theta: Array, trajectory: Trajectory, drivers: Drivers) -> list[Named]:
    """Bloom and Williams (2015): slow growth, no fast decay, starting stocks near those that GPP would keep."""
    steps = trajectory.fluxes.gpp.shape[0]
    _need(steps, 2, "the set b15", "constraints: edinburgh")
    pools, n_years = trajectory.pools, steps // YEAR

    def year_mean(start: int) -> Array:
        return pools[start : start + YEAR].mean(axis=0)

    growth = jnp.log(year_mean((n_years - 1) * YEAR)) - jnp.log(year_mean(0)) - np.log(1 + 0.1 * n_years)
    change, later = year_mean(YEAR) - year_mean(0), year_mean(YEAR + 1) - year_mean(1)
    decays = change * later > 0
    ratio = jnp.where(decays, later, 1.0) / jnp.where(decays, change, 1.0)
    decay = -jnp.log(ratio) / jnp.asarray(drivers.dt).mean(axis=0)
    # 1e-12 d-1 stands for no decay at all, which passes
    too_fast = jnp.log(jnp.maximum(decay, 1e-12) * DAYS * n_years / _FACTOR_2)
    foliage, labile, root, wood = _shares_of_gpp(theta)
    litter = foliage + labile + root
    som = wood + litter * theta[P.K_LS] / (theta[P.K_LS] + theta[P.K_L])
    gpp = jnp.log(trajectory.fluxes.gpp.mean(axis=0))
    warmth = theta[P.THETA] * jnp.asarray(drivers.mean_temperature).mean(axis=0)
    kept = {
        "som": jnp.log(som / theta[P.K_S] / theta[P.C_SOM]) - warmth,
        "litter": jnp.log(litter / theta[P.K_L] / theta[P.C_LIT]) - warmth,
        "wood": jnp.log(wood / theta[P.K_W] / theta[P.C_WOO]),
        "root": jnp.log(root / theta[P.K_R] / theta[P.C_ROO]),
    }
    return [
        *((f"B15 growth {name}", growth[i]) for i, name in enumerate(POOLS)),
        *((f"B15 decay {name}", too_fast[i]) for i, name in enumerate(POOLS)),
        *(pair for name, x in kept.items() for pair in _within(f"B15 stock {name}", x + gpp, _FACTOR_10)),
    ]


def _sound_pools(pools: Array) -> list[Named]:
    """D4. Litter alone can be asked for more than it holds, as its two losses are taken off side by side.

    Its margin is minus its least stock in units of its mean, which is a log violation near 0.
    """
    still = jax.lax.stop_gradient(pools)
    others = still.min(axis=0).at[4].set(0.0)
    sound = jnp.isfinite(still).all(axis=(0, 1)) & (others >= 0).all(axis=0)
    litter = -pools[:, 4].min(axis=0) / jnp.abs(pools[:, 4]).mean(axis=0)
    return [("D4 sound", jnp.where(sound, -IMPOSSIBLE, IMPOSSIBLE)), ("D4 litter", litter)]


def _sound_canopy(theta: Array, trajectory: Trajectory, drivers: Drivers) -> list[Named]:
    """D5: a canopy that exists, is not denser than 10, and is not fed by more than NPP."""
    flux, dt = trajectory.fluxes, jnp.asarray(drivers.dt)
    lai = trajectory.pools[:, 1].max(axis=0) / theta[P.LCMA]
    fed, made = ((flux.to_foliage + flux.release) * dt).sum(axis=0), (flux.npp * dt).sum(axis=0)
    return [
        ("D5 lai", jnp.log(lai) - _FACTOR_10),
        ("D5 gpp", np.log(0.001) - jnp.log(flux.gpp.max(axis=0))),
        ("D5 canopy", jnp.log(fed) - jnp.log(made)),
    ]


def _within(name: str, x: Array, limit: float) -> list[Named]:
    """-limit <= x <= limit as two constraints."""
    return [(f"{name} low", -x - limit), (f"{name} high", x - limit)]


def _pools(name: str, x: Array, limit: float) -> list[Named]:
    return [pair for i, pool in enumerate(POOLS) for pair in _within(f"{name} {pool}", x[i], limit)]


def _absolute(x: Array, rounding: float) -> Array:
    return jnp.sqrt(x**2 + rounding**2) if rounding else jnp.abs(x)


def _need(steps: int, years: int, what: str, instead: str) -> None:
    if steps < years * YEAR:
        raise ConfigError(
            f"{what} needs {years} years of {YEAR} steps; the run has {steps} steps. "
            f"Lengthen the run or set {instead}."
        )


def _stack(named: Sequence[Named], batch: tuple[int, ...]) -> Array:
    if not named:
        return jnp.zeros((0, *batch))
    return jnp.stack([jnp.broadcast_to(x, batch) for _, x in named])
