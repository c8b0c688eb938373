"""Gauss-Marquardt-Levenberg as PEST does it, for many starting points side by side.

The search is NumPy around the model: the same input gives the same bytes, and a start ends as it would have alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.stats import qmc

from talik.config import Frozen
from talik.errors import ConfigError
from talik.rng import named_rng
from talik.tem.calibration.differences import Array, FiniteDifferences, Flags, Model, checked_limits

LAMBDAS = (1e-10, 1e10)
"""Limits of lambda: below, the step is that of Gauss-Newton; above, it is nothing."""

Stopped = Literal["reduction", "change", "stationary", "iterations", "derivative", "failed"]
"""Why a start ended: its sum of squares fell too little; its parameters changed too little; no step is left (an
optimum, with what presses on a limit); as many iterations as allowed; its Jacobian is not finite; its first residuals
are not finite."""


class Settings(Frozen):
    """How far and how long to search. The defaults are within what the PEST manual recommends (Doherty 2015)."""

    first_lambda: Annotated[float, Field(ge=1e-10, le=1e10)] = 10.0
    """Marquardt lambda of the first trial (RLAMBDA1)."""
    lambda_factor: Annotated[float, Field(gt=1, le=100)] = 3.0
    """From one lambda to the next (RLAMFAC)."""
    trials: Annotated[int, Field(ge=1, le=100)] = 10
    """Most lambdas in an iteration (NUMLAM)."""
    sufficient_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """An iteration is done once the sum of squares is below this share of what it was (PHIRATSUF)."""
    least_gain: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """No further lambda is tried once the next one lowers the sum of squares by less than this share (PHIREDLAM)."""
    largest_factor: Annotated[float, Field(gt=1)] = 10.0
    """A parameter on a log scale is at most multiplied or divided by this in an iteration (FACPARMAX)."""
    largest_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Any other parameter moves by at most this share of its range in an iteration (in place of RELPARMAX)."""
    central_below: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """After an iteration that lowers the sum of squares by less than this share, finite differences are central from
    then on (PHIREDSWH)."""
    least_reduction: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """Stop when the sum of squares falls by no more than this share in `patience` iterations (PHIREDSTP)."""
    least_change: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Stop when no parameter changes by more than this in `patience` iterations running (RELPARSTP): of the logarithm,
    which is a share of the parameter, or of the range."""
    patience: Annotated[int, Field(ge=1, le=100)] = 4
    """(NPHISTP, NRELPAR)."""
    iterations: Annotated[int, Field(ge=1)] = 30
    """Most iterations (NOPTMAX)."""
    tangent_cost: Annotated[float, Field(ge=0)] = 1.0
    """Run-equivalents of one column of an exact Jacobian; a Jacobian costs 1 + n of these."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Where each start ended. Starts are in the order in which they were given."""

    x: Array
    """(start, n) coordinates at the end; of a failed start its first point."""
    phi: Array
    """(start,) sum of squared residuals there; NaN of a failed start."""
    history: tuple[Array, ...]
    """Of each start the sum of squares at first and after each iteration; it never rises."""
    runs: Array
    """(start,) model runs asked, with an exact Jacobian as 1 + n * tangent_cost of them."""
    iterations: npt.NDArray[np.int64]
    """(start,) iterations made."""
    stopped: tuple[Stopped, ...]
    """Why each start ended."""
    reason: tuple[str, ...]
    """The same as a sentence."""
    at_limit: npt.NDArray[np.int8]
    """(start, n) -1 at the lower limit, 1 at the upper one, else 0."""

    @property
    def best(self) -> int:
        """Index of the start with the least sum of squares; the first of equals."""
        return int(np.nanargmin(self.phi))


@dataclass(slots=True, eq=False)
class _Start:
    """One starting point on its way."""

    x: Array
    residuals: Array
    phi: float
    damping: float
    history: list[float]
    jacobian: Array | None = None
    central: bool = False
    quiet: int = 0
    """Iterations running in which no parameter changed."""
    runs: float = 1.0
    stopped: Stopped | None = None
    reason: str = ""

    def stop(self, why: Stopped, reason: str) -> None:
        self.stopped, self.reason = why, reason


@dataclass(slots=True, eq=False)
class _Iteration:
    """The lambdas one start tries in one iteration, and the best of them."""

    start: _Start
    curvature: Array
    descent: Array
    damping: float
    point: Array = field(init=False)
    """(n,) where the current lambda leads."""
    best: tuple[Array, Array, float, float] | None = None
    """Point, residuals, sum of squares and lambda of the best trial that lowered the sum of squares."""
    tried: int = 0
    successes: int = 0
    downward: bool = True
    done: bool = False

    def aim(self, low: Array, high: Array, largest: Array) -> None:
        """Set `point` for the current lambda, within limits and largest change; done if it is where the start is."""
        x = self.start.x
        step = bounded_step(self.curvature, self.descent, self.damping, (low - x, high - x))
        worst = float(np.max(np.abs(step) / largest))
        self.point = np.clip(x + (step / worst if worst > 1.0 else step), low, high)
        self.done = np.array_equal(self.point, x)

    def judge(self, residuals: Array, phi: float, settings: Settings) -> None:
        """Take or reject the trial at `point` and choose the next lambda: down while it helps, else up."""
        self.tried += 1
        self.start.runs += 1
        before = self.start.phi if self.best is None else self.best[2]
        factor = settings.lambda_factor
        if phi < before:
            small = self.successes > 0 and before - phi < settings.least_gain * before
            self.best = (self.point, residuals, phi, self.damping)
            self.successes += 1
            self.done = small or phi <= settings.sufficient_ratio * self.start.phi
            self._move(1.0 / factor if self.downward else factor)
        elif self.best is None:
            self.downward = False
            self._move(factor)
        elif self.downward and self.successes == 1:
            self.downward = False
            self.damping = self.best[3]
            self._move(factor)
        else:
            self.done = True

    def _move(self, factor: float) -> None:
        self.damping = float(np.clip(self.damping * factor, *LAMBDAS))


def search(model: Model, x: Array, low: Array, high: Array, logarithmic: Flags, settings: Settings) -> Search:
    """Points of least sum of squared residuals, one for each start, all starts in one batch.

    x : (start, n) where to begin, within the limits.   low, high : (n,) limits, in coordinates.
    logarithmic : (n,) whether the coordinate is the logarithm of a parameter.
    The step is (J'J + lambda diag(J'J))^-1 (-J'r), J = dr/dx. Parameters that push out of their limits are held there
    and the others solved for again, then the whole step is shortened to the largest change allowed. A lambda is lowered
    while that helps, else raised; the next iteration begins one factor below the best. A trial whose residuals are not
    finite is rejected. A start whose first residuals are not finite ends as "failed" and disturbs no other.

    Raises:
        ConfigError: limits are crossed; a start lies outside them; there are fewer observations than parameters; what
            the model returns has a wrong shape; no start has finite residuals.
    Source: Levenberg (1944), Marquardt (1963); choice of lambda, limits and end after Doherty (2015, PEST manual).
    """
    low, high, logarithmic = checked_limits(low, high, logarithmic)
    starts = _begin(model, _checked_starts(x, low, high), settings)
    for _ in range(settings.iterations):
        if all(start.stopped for start in starts):
            break
        _linearise(model, starts, settings)
        _improve(model, starts, low, high, logarithmic, settings)
    for start in starts:
        if start.stopped is None:
            start.stop("iterations", f"{settings.iterations} iterations made")
    return _result(starts, low, high)


def latin_hypercube(count: int, low: Array, high: Array, seed: int, first: Array | None = None) -> Array:
    """(count, n) starting points, each coordinate spread evenly over its limits (McKay et al. 1979).

    low, high : (n,) limits, in coordinates.   first : (n,) the first of the points, if there is one to begin with.
    The points depend on `seed`, `count`, and whether a first one is given.

    Raises:
        ConfigError: limits are crossed, `first` lies outside them, or `count` is below 1.
    """
    low, high, _ = checked_limits(low, high, np.zeros(np.shape(low), bool))
    if count < 1:
        raise ConfigError(f"starting points: found a count of {count}; expected at least 1.")
    given = np.empty((0, low.size)) if first is None else _checked_starts(np.atleast_2d(first), low, high)
    drawn = count - len(given)
    if drawn < 1:
        return given
    rng = named_rng(seed, "starting points")
    unit = qmc.LatinHypercube(low.size, seed=rng).random(drawn)
    return np.concatenate([given, np.clip(low + unit * (high - low), low, high)])


def bounded_step(curvature: Array, descent: Array, damping: float, room: tuple[Array, Array]) -> Array:
    """(n,) the Marquardt step, held at the limits.

    curvature : (n, n) J'J.   descent : (n,) -J'r.   damping : lambda, > 0.
    room : (n,) <= 0 and (n,) >= 0, how far the step may go down and up.
    Parameters at a limit that push outward are held. The others are solved for; those that would pass a limit go as far
    as it, and the rest is solved for again with them there, until none passes.
    """
    down, up = room
    diagonal = np.diag(curvature)
    scale = np.where(diagonal > 0, np.sqrt(diagonal), 1.0)
    system = curvature / scale[:, None] / scale + damping * np.eye(scale.size)
    step = np.zeros(scale.size)
    held = ((down >= 0) & (descent < 0)) | ((up <= 0) & (descent > 0))
    while not held.all():
        free = ~held
        right = (descent / scale)[free] - system[np.ix_(free, held)] @ (step * scale)[held]
        step[free] = np.linalg.solve(system[np.ix_(free, free)], right) / scale[free]
        beyond = free & ((step < down) | (step > up))
        if not beyond.any():
            break
        step[beyond] = np.where(step < 0, down, up)[beyond]
        held |= beyond
    return step


def _checked_starts(x: Array, low: Array, high: Array) -> Array:
    x = np.array(x, dtype=float)
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != low.size:
        raise ConfigError(f"starting points: found shape {x.shape}; expected (start, {low.size}).")
    inside = (x >= low) & (x <= high)
    if not inside.all():
        i, j = (int(k) for k in np.argwhere(~inside)[0])
        raise ConfigError(
            f"starting points: coordinate {j} of start {i} is {x[i, j]:g}; expected {low[j]:g} to {high[j]:g}. "
            "Move the start or widen the limits."
        )
    return x


def _begin(model: Model, x: Array, settings: Settings) -> list[_Start]:
    residuals = np.asarray(model.residuals(x), dtype=float)
    if residuals.ndim != 2 or len(residuals) != len(x):
        raise ConfigError(
            f"residuals: found shape {residuals.shape}; expected ({len(x)}, m) for as many starts."
        )
    m, n = residuals.shape[1], x.shape[1]
    if m < n:
        raise ConfigError(
            f"{m} observations for {n} parameters: expected at least as many observations as parameters. "
            "Calibrate fewer parameters or add observations."
        )
    sums = _sum_of_squares(residuals)
    starts = []
    for i, phi in enumerate(sums):
        start = _Start(x[i], residuals[i], float(phi), settings.first_lambda, [float(phi)])
        if not np.isfinite(phi):
            start.phi, start.history = np.nan, [np.nan]
            wrong = int(np.count_nonzero(~np.isfinite(residuals[i])))
            start.stop(
                "failed", f"at its first point {wrong} of {m} residuals are not finite, or their squares"
            )
        starts.append(start)
    if all(start.stopped for start in starts):
        raise ConfigError(
            f"none of {len(starts)} starts can be run; the first: {starts[0].reason}. "
            "Check the observations, their sigma and the limits of the parameters."
        )
    return starts


def _linearise(model: Model, starts: list[_Start], settings: Settings) -> None:
    """Jacobians for the starts that moved, or whose differences are now central; one call for all."""
    asked = np.array([start.stopped is None and start.jacobian is None for start in starts])
    if not asked.any():
        return
    x = np.stack([start.x for start in starts])
    residuals = np.stack([start.residuals for start in starts])
    n, expected = x.shape[1], (*residuals.shape, x.shape[1])
    if isinstance(model, FiniteDifferences):
        found = model.jacobian(x, residuals, asked & np.array([start.central for start in starts]))
    else:
        found = np.asarray(model.with_jacobian(x)[1], dtype=float)
    if found.shape != expected:
        raise ConfigError(f"Jacobian: found shape {found.shape}; expected {expected} for (start, m, n).")
    for i in np.flatnonzero(asked):
        start = starts[i]
        start.jacobian = found[i]
        if isinstance(model, FiniteDifferences):
            start.runs += 2 * n if start.central else n
        else:
            start.runs += 1 + n * settings.tangent_cost


def _improve(
    model: Model, starts: list[_Start], low: Array, high: Array, logarithmic: Flags, settings: Settings
) -> None:
    """One iteration of every start that has not ended: trials side by side, then the best one or none is taken."""
    unit = np.where(logarithmic, 1.0, high - low)
    largest = np.where(logarithmic, np.log(settings.largest_factor), settings.largest_share * (high - low))
    opened = {i: iteration for i, start in enumerate(starts) if (iteration := _open(start)) is not None}
    trying = opened
    for _ in range(settings.trials):
        for iteration in trying.values():
            iteration.aim(low, high, largest)
        trying = {i: iteration for i, iteration in trying.items() if not iteration.done}
        if not trying:
            break
        x = np.stack([trying[i].point if i in trying else start.x for i, start in enumerate(starts)])
        residuals = np.asarray(model.residuals(x), dtype=float)
        sums = _sum_of_squares(residuals)
        for i, iteration in trying.items():
            iteration.judge(residuals[i], float(sums[i]), settings)
        trying = {i: iteration for i, iteration in trying.items() if not iteration.done}
    for iteration in opened.values():
        _close(iteration, unit, settings, isinstance(model, FiniteDifferences))


def _open(start: _Start) -> _Iteration | None:
    """The iteration of a start that goes on; None, and the start ended, if its Jacobian is not finite."""
    if start.stopped is not None or start.jacobian is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        curvature = start.jacobian.T @ start.jacobian
        descent = -(start.jacobian.T @ start.residuals)
    if not (np.isfinite(curvature).all() and np.isfinite(descent).all()):
        start.stop("derivative", "the Jacobian is not finite, or its squares")
        return None
    return _Iteration(start, curvature, descent, start.damping)


def _close(iteration: _Iteration, unit: Array, settings: Settings, differences: bool) -> None:
    """Take the best trial, if one was better, and see whether the start has ended."""
    start = iteration.start
    before = start.phi
    change = 0.0
    if iteration.tried == 0 and (start.central or not differences):
        start.stop("stationary", "no step is left that the limits allow")
        return
    if iteration.best is None:
        start.damping = iteration.damping
    else:
        point, residuals, phi, damping = iteration.best
        change = float(np.max(np.abs(point - start.x) / unit))
        start.x, start.residuals, start.phi, start.jacobian = point, residuals, phi, None
        start.damping = float(np.clip(damping / settings.lambda_factor, *LAMBDAS))
    start.history.append(start.phi)
    start.quiet = start.quiet + 1 if change <= settings.least_change else 0
    if differences and not start.central and before - start.phi < settings.central_below * before:
        start.central, start.jacobian = True, None
    _end(start, settings)


def _end(start: _Start, settings: Settings) -> None:
    patience = settings.patience
    earlier = start.history[-1 - patience] if len(start.history) > patience else np.inf
    if start.phi == 0:
        start.stop("stationary", "the sum of squares is 0")
    elif earlier - start.phi <= settings.least_reduction * earlier and np.isfinite(earlier):
        start.stop(
            "reduction",
            f"the sum of squares fell by no more than {settings.least_reduction:g} of itself in {patience} iterations",
        )
    elif start.quiet >= patience:
        start.stop(
            "change",
            f"no parameter changed by more than {settings.least_change:g} in {patience} iterations running",
        )


def _sum_of_squares(residuals: Array) -> Array:
    """(start,) phi; inf where residuals are not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        phi = np.sum(residuals * residuals, axis=1)
    return np.where(np.isfinite(phi), phi, np.inf)


def _result(starts: list[_Start], low: Array, high: Array) -> Search:
    x = np.stack([start.x for start in starts])
    return Search(
        x=x,
        phi=np.array([start.phi for start in starts]),
        history=tuple(np.array(start.history) for start in starts),
        runs=np.array([start.runs for start in starts]),
        iterations=np.array([len(start.history) - 1 for start in starts]),
        stopped=tuple(start.stopped for start in starts if start.stopped is not None),
        reason=tuple(start.reason for start in starts),
        at_limit=((x >= high).astype(np.int8) - (x <= low).astype(np.int8)).astype(np.int8),
    )
