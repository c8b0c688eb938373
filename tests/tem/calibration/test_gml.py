from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.optimize import least_squares, lsq_linear

from talik.errors import ConfigError
from talik.tem.calibration.differences import Array, finite_differences
from talik.tem.calibration.gml import Search, Settings, bounded_step, latin_hypercube, search

TIGHT = Settings(least_reduction=1e-13, least_change=1e-10, iterations=400)
"""Goes on until rounding, to be compared with an oracle that does so too."""


@dataclass(frozen=True)
class Problem:
    """Residuals of one point, from the literature; the search sees a batch of points."""

    one: Callable[[Array], Array]
    low: Array
    high: Array
    phi: float | None = None
    """Published least sum of squares within the limits, where there is one."""
    within: float = 1e-6
    """How near to the optimum of the oracle the coordinates must be, relative to the larger of 1 and themselves."""
    asked: list[int] = field(default_factory=list)
    """Sizes of the batches asked."""

    @property
    def linear(self) -> np.ndarray:
        return np.zeros(self.low.size, bool)

    def slope(self, p: Array) -> Array:
        """The Jacobian (m, n) to the last digits, by a step into the complex plane (Squire and Trapp, 1998)."""
        return np.stack([np.imag(self.one(p + 1e-200j * unit)) / 1e-200 for unit in np.eye(p.size)], axis=1)

    def residuals(self, x: Array) -> Array:
        self.asked.append(len(x))
        return np.stack([self.one(p) for p in x])

    def with_jacobian(self, x: Array) -> tuple[Array, Array]:
        return np.stack([self.one(p) for p in x]), np.stack([self.slope(p) for p in x])

    def search(
        self,
        x: Array,
        settings: Settings,
        *,
        differences: bool = False,
        logarithmic: Array | None = None,
    ) -> Search:
        """The search with the exact Jacobian, or by finite differences."""
        limits = (self.low, self.high, self.linear if logarithmic is None else logarithmic)
        model = finite_differences(self.residuals, *limits) if differences else self
        return search(model, np.asarray(x), *limits, settings)

    def oracle(self, x: Array) -> Array:
        found = least_squares(
            self.one, x, self.slope, (self.low, self.high), method="trf",
            xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac", max_nfev=2000,
        )  # fmt: skip
        return np.append(found.x, 2.0 * found.cost)


class Made(NamedTuple):
    """A model of two functions."""

    residuals: Callable[[Array], Array]
    with_jacobian: Callable[[Array], tuple[Array, Array]]


def rosenbrock(most: float = 3.0, phi: float = 0.0) -> Problem:
    return Problem(
        lambda p: np.array([10 * (p[1] - p[0] ** 2), 1 - p[0]]), np.full(2, -3.0), np.array([most, 4.0]), phi
    )


def powell_singular() -> Problem:
    """Powell (1962); the Jacobian has rank 2 at the optimum, which is approached linearly."""
    a, b = np.sqrt(5.0), np.sqrt(10.0)
    return Problem(
        lambda p: np.array([p[0] + 10 * p[1], a * (p[2] - p[3]), (p[1] - 2 * p[2]) ** 2, b * (p[0] - p[3]) ** 2]),
        np.full(4, -5.0), np.full(4, 5.0), 0.0, within=1e-3,
    )  # fmt: skip


BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard() -> Problem:
    """Bard (1970); 8.21487e-3 in More, Garbow and Hillstrom (1981), number 8."""
    u = np.arange(1.0, 16.0)
    v, w = 16 - u, np.minimum(u, 16 - u)
    return Problem(
        lambda p: BARD - (p[0] + u / (v * p[1] + w * p[2])), np.full(3, 0.01), np.full(3, 4.0), 8.21487e-3
    )


KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
KOWALIK_U = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne() -> Problem:
    """Kowalik and Osborne (1968); 3.07505e-4 in More, Garbow and Hillstrom (1981), number 15."""
    u = KOWALIK_U
    return Problem(
        lambda p: KOWALIK_Y - p[0] * (u**2 + u * p[1]) / (u**2 + u * p[2] + p[3]),
        np.full(4, 0.01), np.full(4, 0.6), 3.07505e-4, within=1e-5,
    )  # fmt: skip


def decay() -> Problem:
    """Two pools that decay, with noise; amplitudes and rates as logarithms."""
    t = np.linspace(0.0, 10.0, 40)

    def model(p: Array) -> Array:
        return np.exp(p[0]) * np.exp(-np.exp(p[1]) * t) + np.exp(p[2]) * np.exp(-np.exp(p[3]) * t)

    truth = np.log([3.0, 1.5, 2.0, 0.15])
    data = model(truth) + 0.05 * np.random.default_rng(7).standard_normal(t.size)
    low, high = np.log([[0.3, 0.5, 0.2, 0.01], [30.0, 20.0, 20.0, 0.5]])
    return Problem(lambda p: (data - model(p)) / 0.05, low, high, within=1e-5)


PROBLEMS = {
    "rosenbrock": rosenbrock,
    # the optimum is (0.5, 0.25)
    "rosenbrock on a limit": lambda: rosenbrock(0.5, 0.25),
    "powell singular": powell_singular,
    "bard": bard,
    "kowalik osborne": kowalik_osborne,
    "decay": decay,
}


def relative(x: Array, other: Array) -> float:
    return float(np.max(np.abs(x - other) / np.maximum(1.0, np.abs(other))))


@pytest.mark.parametrize("name", PROBLEMS)
def test_same_optimum_as_scipy_from_many_starts(name: str) -> None:
    problem = PROBLEMS[name]()
    x = latin_hypercube(12, problem.low, problem.high, seed=1)
    found = problem.search(x, TIGHT)
    oracle = np.stack([problem.oracle(p) for p in x])
    best = oracle[np.argmin(oracle[:, -1])]
    np.testing.assert_allclose(found.phi, best[-1], rtol=1e-9, atol=1e-18)
    assert relative(found.x, best[:-1]) < problem.within
    if problem.phi is not None:
        np.testing.assert_allclose(found.phi, problem.phi, rtol=2e-6, atol=1e-18)
    assert set(found.stopped) <= {"reduction", "change", "stationary"}


@pytest.mark.parametrize("side", [1, -1])
def test_an_optimum_on_a_limit_says_so(side: int) -> None:
    """Rosenbrock with x below 0.5, and mirrored, so that the lower limit binds."""
    problem, mirror = PROBLEMS["rosenbrock on a limit"](), np.array([side, 1])
    low, high = np.sort([problem.low * mirror, problem.high * mirror], axis=0)
    turned = Problem(lambda p: problem.one(p * mirror), low, high)
    found = turned.search([[-1.0, 2.0] * mirror], TIGHT)
    np.testing.assert_allclose(found.x, [[0.5 * side, 0.25]], rtol=1e-9)
    np.testing.assert_array_equal(found.at_limit, [[side, 0]])


@pytest.mark.parametrize("name", ["bard", "kowalik osborne", "decay"])
def test_finite_differences_reach_the_same_optimum_with_more_runs(name: str) -> None:
    problem = PROBLEMS[name]()
    logarithmic = np.full(problem.low.size, name == "decay")
    x = latin_hypercube(8, problem.low, problem.high, seed=3)
    exact = problem.search(x, Settings(tangent_cost=0.5), logarithmic=logarithmic)
    approximate = problem.search(x, Settings(), differences=True, logarithmic=logarithmic)
    np.testing.assert_allclose(approximate.phi[approximate.best], exact.phi[exact.best], rtol=1e-6)
    assert (exact.runs < approximate.runs).all()
    best = problem.oracle(exact.x[exact.best])
    np.testing.assert_allclose([exact.phi.min(), approximate.phi.min()], best[-1], rtol=1e-6)


def test_runs_are_those_that_were_made() -> None:
    x = [[1.0, 1.5, 2.0]]
    problem = bard()
    found = problem.search(x, Settings(), differences=True)
    # of a single start every point asked is a run of it: (one row a trial, three a side of a Jacobian)
    assert found.runs[0] == sum(problem.asked)
    assert set(problem.asked) == {1, 3}
    exact, jacobians = bard(), []

    def counted(x: Array) -> tuple[Array, Array]:
        jacobians.append(len(x))
        return exact.with_jacobian(x)

    model = Made(exact.residuals, counted)
    found = search(model, np.array(x), exact.low, exact.high, exact.linear, Settings(tangent_cost=0.25))
    assert found.runs[0] == sum(exact.asked) + len(jacobians) * (1 + 3 * 0.25)
    assert len(jacobians) == found.iterations[0]


@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("name", ["rosenbrock on a limit", "kowalik osborne", "decay"])
def test_a_start_ends_in_a_batch_as_it_does_alone(name: str, differences: bool) -> None:
    problem = PROBLEMS[name]()
    x = latin_hypercube(7, problem.low, problem.high, seed=5)
    together, again = (problem.search(x, Settings(), differences=differences) for _ in range(2))
    assert together.x.tobytes() == again.x.tobytes()
    for i in range(len(x)):
        alone = problem.search(x[i : i + 1], Settings(), differences=differences)
        np.testing.assert_array_equal(alone.x[0], together.x[i])
        np.testing.assert_array_equal(alone.history[0], together.history[i])
        assert (alone.runs[0], alone.stopped[0]) == (together.runs[i], together.stopped[i])


@hypothesis_settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 8), st.sampled_from([0.05, 0.5, 5.0, 100.0])
)
def test_linear_least_squares_within_limits(seed: int, n: int, extra: int, reach: float) -> None:
    """b - A x with random A and b; `reach` sets how many of the limits bind."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n + extra, n)), rng.standard_normal(n + extra)
    high = reach * rng.uniform(0.1, 1.0, n)
    problem = Problem(lambda p: b - a @ p, -high[::-1], high)
    found = problem.search(latin_hypercube(3, problem.low, high, seed % 1000), TIGHT)
    oracle = lsq_linear(a, b, (problem.low, problem.high), method="bvls", tol=1e-14)
    np.testing.assert_allclose(found.phi, 2.0 * oracle.cost, rtol=1e-7, atol=1e-10)


@hypothesis_settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.sampled_from(["rosenbrock", "powell singular", "kowalik osborne", "decay"]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_limits_hold_and_the_sum_of_squares_never_rises(name: str, seed: int, differences: bool) -> None:
    problem = PROBLEMS[name]()
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(problem.low, problem.high, (2, problem.low.size)), axis=0)
    low, high = corners[0], corners[1] + 1e-6
    x = np.clip(latin_hypercube(3, low, high, seed % 1000), low, high)
    x[0] = np.where(rng.random(low.size) < 0.5, low, high)

    def watched(points: Array) -> Array:
        assert ((points >= low) & (points <= high)).all()
        return problem.residuals(points)

    def with_jacobian(points: Array) -> tuple[Array, Array]:
        watched(points)
        return problem.with_jacobian(points)

    model = (
        finite_differences(watched, low, high, problem.linear)
        if differences
        else Made(watched, with_jacobian)
    )
    found = search(model, x, low, high, problem.linear, Settings(iterations=8))
    for i, history in enumerate(found.history):
        assert (np.diff(history) <= 0).all()
        assert history[-1] == found.phi[i] == pytest.approx(np.sum(problem.one(found.x[i]) ** 2), rel=1e-12)
        assert history[0] == pytest.approx(np.sum(problem.one(x[i]) ** 2), rel=1e-12)
        assert len(history) == found.iterations[i] + 1


@hypothesis_settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1e-6, 0.1, 10.0]))
def test_step_inside_the_limits_is_the_damped_least_squares_one(seed: int, n: int, damping: float) -> None:
    rng = np.random.default_rng(seed)
    jacobian = rng.standard_normal((n + 4, n)) * 10.0 ** rng.uniform(-2, 2, n)
    residuals = rng.standard_normal(n + 4)
    # |r + J d|^2 + lambda |D d|^2 is least where the system below it is solved in the least-squares sense
    below = np.sqrt(damping) * np.diag(np.sqrt(np.sum(jacobian**2, axis=0)))
    system, right = np.vstack([jacobian, below]), np.append(-residuals, np.zeros(n))
    expected = np.linalg.lstsq(system, right, rcond=None)[0]
    everywhere = (np.full(n, -np.inf), np.full(n, np.inf))
    step = bounded_step(jacobian.T @ jacobian, -jacobian.T @ residuals, damping, everywhere)
    np.testing.assert_allclose(step, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())
    room = (-np.abs(expected) * rng.uniform(0, 2, n), np.abs(expected) * rng.uniform(0, 2, n))
    held = bounded_step(jacobian.T @ jacobian, -jacobian.T @ residuals, damping, room)
    assert ((held >= room[0] - 1e-15) & (held <= room[1] + 1e-15)).all()
    # whatever lies strictly inside is the optimum of the others: the gradient of the damped sum vanishes there
    inside = (held > room[0]) & (held < room[1])
    gradient = system.T @ (system @ held - right)
    scale = np.linalg.norm(system, axis=0) * np.linalg.norm(residuals)
    assert (np.abs(gradient[inside]) <= 1e-9 * scale[inside]).all()


def test_largest_change_in_an_iteration() -> None:
    # the optimum is far: x = (20, 20), but an iteration goes ln 10 along the logarithm and 5 % of 100 along the other
    problem = Problem(lambda p: 20.0 - p, np.zeros(2), np.array([50.0, 100.0]))
    logarithmic = np.array([True, False])
    one = Settings(iterations=1, first_lambda=1e-10, largest_share=0.05, trials=1)
    found = problem.search(np.zeros((1, 2)), one, logarithmic=logarithmic)
    # the whole step is shortened, so both go as far as the stricter of the two allows
    np.testing.assert_allclose(found.x, [[np.log(10.0), np.log(10.0)]], rtol=1e-12)
    assert found.stopped == ("iterations",)
    wide = one.model_copy(update={"largest_factor": 1e4})
    found = problem.search(np.zeros((1, 2)), wide, logarithmic=logarithmic)
    np.testing.assert_allclose(found.x, [[5.0, 5.0]], rtol=1e-12)


def test_lambdas_go_down_while_that_helps() -> None:
    # one parameter, r = 1 - x from 0: a step at lambda is 1 / (1 + lambda), phi = (lambda / (1 + lambda))^2
    problem = Problem(lambda p: 1.0 - np.repeat(p, 2), np.zeros(1), np.full(1, 9.0))
    one = Settings(iterations=1, first_lambda=9.0, lambda_factor=3.0, sufficient_ratio=0.3)
    found = problem.search([[0.0]], one)
    # 0.81 at 9 and 0.5625 at 3 are not below 0.3, 0.25 at 1 is: three trials, the start and a Jacobian of two runs
    assert found.phi[0] / 2.0 == pytest.approx(0.25)
    assert found.runs[0] == 3 + 1 + 2
    # far too much damping: the first gain is small whatever comes next, the second one ends the iteration
    found = problem.search([[0.0]], Settings(iterations=1, first_lambda=1e4, lambda_factor=10.0))
    assert found.x[0, 0] == pytest.approx(1.0 / 1001.0)
    assert found.runs[0] == 2 + 1 + 2


@pytest.mark.parametrize(
    ("first", "factor", "trials"),
    [
        # those up to 1 overshoot so far that they fail, 10 is better, 100 is worse again
        (1e-3, 10.0, [1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0]),
        # the first succeeds, the one below is worse: the other way from the first
        (2.5, 1.3, [2.5, 2.5 / 1.3, 2.5 * 1.3, 2.5 * 1.3**2]),
    ],
)
def test_lambdas_go_up_when_down_fails(first: float, factor: float, trials: list[float]) -> None:
    """r = atan x: from 3, Gauss-Newton overshoots to 3 - 10 atan 3 = -9.5, where phi is larger."""
    problem = Problem(np.arctan, np.full(1, -100.0), np.full(1, 100.0))
    one = Settings(iterations=1, first_lambda=first, lambda_factor=factor, sufficient_ratio=0.0)
    found = problem.search([[3.0]], one)
    points = 3.0 - 10.0 * np.arctan(3.0) / (1.0 + np.array(trials))
    assert found.x[0, 0] == pytest.approx(min(points, key=abs))
    # all of the trials, the start, and a Jacobian of two runs
    assert found.runs[0] == len(trials) + 1 + 2


def test_a_model_in_jax_with_its_jacobian_by_forward_mode() -> None:
    problem, u = kowalik_osborne(), jnp.asarray(KOWALIK_U)

    def one(p: jax.Array) -> jax.Array:
        return KOWALIK_Y - p[0] * (u**2 + u * p[1]) / (u**2 + u * p[2] + p[3])

    model = Made(jax.jit(jax.vmap(one)), jax.jit(jax.vmap(lambda p: (one(p), jax.jacfwd(one)(p)))))
    x = latin_hypercube(5, problem.low, problem.high, seed=9)
    found = search(model, x, problem.low, problem.high, problem.linear, TIGHT)
    np.testing.assert_allclose(found.phi, 3.07505e-4, rtol=2e-6)
    assert relative(found.x, problem.oracle(x[0])[:-1]) < problem.within


def quadratic(points: Array) -> Array:
    return np.stack([points[:, 0] ** 2, points[:, 1] ** 2 + points[:, 0], np.ones(len(points))], axis=1)


@pytest.mark.parametrize("place", [0.0, 0.3, 1.9995, 2.0])
def test_central_differences_are_exact_for_parabolas_also_at_a_limit(place: float) -> None:
    model = finite_differences(quadratic, np.zeros(2), np.full(2, 2.0), np.zeros(2, bool))
    x = np.array([[place, 0.5]])
    found = model.jacobian(x, quadratic(x), np.array([True]))
    np.testing.assert_allclose(found[0], [[2 * place, 0], [1, 1.0], [0, 0]], atol=1e-10)


def test_forward_increments() -> None:
    asked: list[Array] = []

    def residuals(points: Array) -> Array:
        asked.append(points)
        return quadratic(points)

    low, high = np.array([0.0, np.log(0.1)]), np.array([2.0, np.log(10.0)])
    model = finite_differences(residuals, low, high, np.array([False, True]), floor=np.array([0.003, 1e-6]))
    x = np.array([[0.5, 0.0], [0.1, 1.0], [2.0, np.log(10.0)]])
    _, slope = model.with_jacobian(x)
    moved = asked[1].reshape(3, 2, 2)
    # 1 % of the parameter; the floor where that is less; inward at a limit
    np.testing.assert_allclose(moved[:, 0, 0] - x[:, 0], [0.005, 0.003, -0.02], rtol=1e-10)
    np.testing.assert_allclose(np.exp(moved[:, 1, 1] - x[:, 1]), [1.01, 1.01, 1 / 1.01], rtol=1e-12)
    np.testing.assert_array_equal(moved[:, 1, 0], x[:, 0])
    # the forward slope of x^2 is 2 x + h
    np.testing.assert_allclose(slope[:, 0, 0], 2 * x[:, 0] + [0.005, 0.003, -0.02], rtol=1e-9)


def test_differences_become_central_when_little_is_gained() -> None:
    problem, x = bard(), [[1.0, 1.5, 2.0]]
    forward = problem.search(x, Settings(central_below=0.0), differences=True)
    sizes = problem.asked.copy()
    problem.asked.clear()
    switched = problem.search(x, Settings(), differences=True)
    assert any(a == b == 3 for a, b in pairwise(problem.asked))
    assert not any(a == b == 3 for a, b in pairwise(sizes))
    # forward differences stop at a point that is a little off
    best = problem.oracle(np.array(x[0]))
    assert relative(switched.x[0], best[:-1]) < relative(forward.x[0], best[:-1])


BOX = (np.full(2, -2.0), np.full(2, 2.0), np.zeros(2, bool))
UNIT = (np.zeros(1), np.ones(1), np.zeros(1, bool))


def wall(points: Array) -> Array:
    """Rosenbrock where x[0] > -0.5; below, the model cannot run."""
    found = np.stack([10 * (points[:, 1] - points[:, 0] ** 2), 1 - points[:, 0]], axis=1)
    found[points[:, 0] < -0.5] = np.nan
    return found


def wall_and_slope(points: Array) -> tuple[Array, Array]:
    slope = np.zeros((len(points), 2, 2))
    slope[:, 0, 0], slope[:, 0, 1], slope[:, 1, 0] = -20 * points[:, 0], 10.0, -1.0
    return wall(points), slope


WALL = Made(wall, wall_and_slope)


def test_one_bad_start_disturbs_no_other() -> None:
    x = np.array([[0.3, 1.0], [-1.0, 1.0], [1.5, -1.0]])
    found = search(WALL, x, *BOX, Settings())
    assert found.stopped[1] == "failed"
    assert "2 of 2 residuals are not finite" in found.reason[1]
    assert np.isnan(found.phi[1])
    assert (found.runs[1], found.iterations[1]) == (1, 0)
    np.testing.assert_array_equal(found.x[1], x[1])
    alone = search(WALL, x[[0, 2]], *BOX, Settings())
    np.testing.assert_array_equal(alone.x, found.x[[0, 2]])
    assert found.best in (0, 2)
    approximate = search(finite_differences(wall, *BOX), x, *BOX, Settings())
    assert approximate.stopped[1] == "failed"
    assert (approximate.phi[[0, 2]] < 1e-6).all()


def test_a_trial_that_cannot_run_is_rejected() -> None:
    # least at -1, behind a wall at -0.5: the search comes near the wall, never across
    def residuals(points: Array) -> Array:
        return np.where(points < -0.5, np.inf, points + 1.0)

    model = Made(residuals, lambda points: (residuals(points), np.ones((len(points), 1, 1))))
    found = search(model, np.array([[1.0]]), np.full(1, -2.0), np.full(1, 2.0), UNIT[2], Settings())
    assert -0.5 <= found.x[0, 0] < -0.3
    assert np.isfinite(found.history[0]).all()


def test_a_jacobian_that_is_not_finite_ends_the_start() -> None:
    def with_jacobian(points: Array) -> tuple[Array, Array]:
        return points - 0.5, np.where(points > 0.8, np.nan, 1.0)[..., None]

    model = Made(lambda points: points - 0.5, with_jacobian)
    found = search(model, np.array([[0.9], [0.1]]), *UNIT, Settings(least_change=0))
    assert found.stopped == ("derivative", "stationary")
    np.testing.assert_allclose(found.x[:, 0], [0.9, 0.5])
    assert found.phi[0] == pytest.approx(0.16)


def test_why_it_stopped() -> None:
    problem = decay()
    x = latin_hypercube(4, problem.low, problem.high, seed=2)

    def run(**changes: float) -> tuple[set[str], tuple[Array, ...]]:
        found = problem.search(x, Settings(**changes), logarithmic=np.ones(4, bool))
        return set(found.stopped), found.history

    why, histories = run(iterations=3)
    assert why == {"iterations"}
    assert [len(h) for h in histories] == [4] * 4
    why, histories = run(least_change=0.0)
    assert why == {"reduction"}
    for h in histories:
        # the rule holds at the end, and held at no iteration before
        assert h[-5] - h[-1] <= 0.005 * h[-5]
        assert all(h[i - 4] - h[i] > 0.005 * h[i - 4] for i in range(4, len(h) - 1))
    why, _ = run(least_reduction=0.0, patience=2)
    assert why == {"change"}


def test_a_parameter_without_effect_stays() -> None:
    # the line through (1, 1), (2, 2.5): x = 6 / 5
    problem = Problem(lambda p: np.array([p[0] - 1.0, 2.0 * p[0] - 2.5]), np.zeros(2), np.full(2, 3.0))
    np.testing.assert_allclose(problem.search([[2.5, 0.7]], TIGHT).x, [[1.2, 0.7]], rtol=1e-9)


def test_latin_hypercube_has_one_point_in_every_stratum() -> None:
    low, high = np.array([-1.0, 2.0, 0.0]), np.array([1.0, 9.0, 1e-3])
    x = latin_hypercube(25, low, high, seed=4)
    strata = np.sort(np.floor(25 * (x - low) / (high - low)), axis=0)
    np.testing.assert_array_equal(strata, np.repeat(np.arange(25.0)[:, None], 3, axis=1))
    assert latin_hypercube(25, low, high, seed=4).tobytes() == x.tobytes()
    assert not np.array_equal(latin_hypercube(25, low, high, seed=5), x)
    first = np.array([0.5, 3.0, 5e-4])
    given_first = latin_hypercube(6, low, high, 4, first)
    np.testing.assert_array_equal(given_first[0], first)
    strata = np.sort(np.floor(5 * (given_first[1:] - low) / (high - low)), axis=0)
    np.testing.assert_array_equal(strata, np.repeat(np.arange(5.0)[:, None], 3, axis=1))
    np.testing.assert_array_equal(latin_hypercube(1, low, high, 4, first), first[None])
    with pytest.raises(ConfigError, match="count of 0"):
        latin_hypercube(0, low, high, 1)
    with pytest.raises(ConfigError, match="coordinate 1 of start 0 is 1; expected 2 to 9"):
        latin_hypercube(4, low, high, 1, np.array([0.0, 1.0, 0.0]))


LOW, HIGH, LINEAR = BOX
THREE = np.zeros((3, 2))
OUTSIDE = np.array([[0.0, 0.0], [0.0, 0.0], [np.nan, 0.0]])
TURNED = Made(wall, lambda points: (wall(points), np.zeros((2, 2, len(points)))))


@pytest.mark.parametrize(
    ("model", "x", "low", "high", "match"),
    [
        (WALL, THREE, np.array([-2.0, 2.0]), HIGH, "coordinate 1 has low 2 and high 2"),
        (WALL, THREE, LOW, np.ones(3), r"low has shape \(2,\), high \(3,\)"),
        (WALL, OUTSIDE, LOW, HIGH, "coordinate 0 of start 2 is nan; expected -2 to 2"),
        (WALL, THREE[:, :1], LOW, HIGH, r"found shape \(3, 1\); expected \(start, 2\)"),
        (WALL, THREE - 1, LOW, HIGH, "none of 3 starts can be run; the first: at its first point 2 of 2"),
        (Made(lambda p: p[:, :1], wall_and_slope), THREE, LOW, HIGH, "1 observations for 2 parameters"),
        (Made(lambda p: p[0], wall_and_slope), THREE, LOW, HIGH, r"found shape \(2,\); expected \(3, m\)"),
        (TURNED, THREE, LOW, HIGH, r"Jacobian: found shape \(2, 2, 3\); expected \(3, 2, 2\)"),
    ],
)
def test_bad_input(model: Made, x: Array, low: Array, high: Array, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        search(model, x, low, high, LINEAR, Settings())


def test_bad_increments() -> None:
    with pytest.raises(ConfigError, match="found increment 0 "):
        finite_differences(wall, *BOX, increment=0.0)
    with pytest.raises(ConfigError, match="expected numbers above 0"):
        finite_differences(wall, *BOX, floor=np.array([0.1, -1.0]))
