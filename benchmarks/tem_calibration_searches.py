"""The same search with exact derivatives, with finite differences, and by `scipy.optimize.least_squares`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import OptimizeResult, least_squares

from benchmarks.tem_calibration_case import BATCH, Array, Case, case_of, table, values_of
from talik.tem import acceleration, phases
from talik.tem.acceleration import MAP_YEARS, SETTLE_YEARS, repeat
from talik.tem.calibration import gml
from talik.tem.calibration.differences import finite_differences
from talik.tem.calibration.forward import AFTER_YEARS, MEMORY_YEARS, NEWTON_STEPS, PLAIN_YEARS
from talik.tem.calibration.free import with_values
from talik.tem.model import initial_state

POOLS = 5
"""Tangents of Newton's method."""
REACHED = 1.005
"""A start reached the optimum if its sum of squares is at most so many times the least that any search found."""


class Together:
    """Points that searches in threads ask for, run as one batch as soon as every search that goes on waits."""

    def __init__(self, case: Case, count: int) -> None:
        self.case, self.going = case, count
        self.asked: dict[int, tuple[str, Array]] = {}
        self.answers: dict[int, Array] = {}
        self.runs, self.jacobians = np.zeros(count), np.zeros(count)
        self.changed = threading.Condition()

    def residuals(self, who: int, x: Array) -> Array:
        """(m,) at one point (n,)."""
        self.runs[who] += 1
        return self._ask(who, "residuals", x)

    def jacobian(self, who: int, x: Array) -> Array:
        """(m, n) at one point (n,)."""
        self.jacobians[who] += 1
        return self._ask(who, "jacobian", x)

    def leave(self) -> None:
        """A search has ended."""
        with self.changed:
            self.going -= 1
            self._run()

    def _ask(self, who: int, kind: str, x: Array) -> Array:
        with self.changed:
            self.asked[who] = (kind, np.array(x))
            self._run()
            self.changed.wait_for(lambda: who in self.answers)
            return self.answers.pop(who)

    def _run(self) -> None:
        if len(self.asked) < self.going:
            return
        for kind in ("residuals", "jacobian"):
            mine = [who for who, (wanted, _) in self.asked.items() if wanted == kind]
            if mine:
                x = np.stack([self.asked[who][1] for who in mine])
                found = self.case.residuals(x) if kind == "residuals" else self.case.with_jacobian(x)[1]
                self.answers |= dict(zip(mine, found, strict=True))
        self.asked.clear()
        self.changed.notify_all()


def searches(count: int = BATCH, alone: int = 8, seed: int = 1) -> dict[str, Any]:
    """Wet tundra at US-Atq, five parameters, `count` starts of a Latin hypercube side by side; scipy from `alone`."""
    case = case_of("wet_tundra")
    free = case.free
    starts = gml.latin_hypercube(count, free.low, free.high, seed, free.start)
    cost = case.tangent_cost
    settings = gml.Settings(tangent_cost=cost)
    differences = finite_differences(case.residuals, free.low, free.high, free.log)
    methods: dict[str, dict[str, Any]] = {}
    for name, model in (("exact", case), ("differences", differences)):
        begin = time.perf_counter()
        found = gml.search(model, starts, free.low, free.high, free.log, settings)
        wall = time.perf_counter() - begin
        runs = found.runs.tolist()
        methods[name] = _ended(case, found.x, found.phi, runs, found.iterations.tolist(), wall)
    for name, jacobian in (("scipy, exact", "exact"), ("scipy, 2-point", "2-point")):
        methods[name] = _scipy(case, starts[:alone], jacobian, cost)  # type: ignore[arg-type]
    least = min(min(m["sum_of_squares"]) for m in methods.values())
    best = methods["exact"]["x"][int(np.argmin(methods["exact"]["sum_of_squares"]))]
    for m in methods.values():
        m["reached"] = int(sum(phi <= REACHED * least for phi in m["sum_of_squares"]))
        m["apart"] = float(np.max(np.abs(np.array(m["best"]) - best) / (free.high - free.low)))
    years = {
        "at the start": _years(case, free.start),
        "at the optimum": _years(case, np.array(best)),
    }
    return {
        "starts": count,
        "targets": int(case.value.size),
        "parameters": case.names,
        "batch_seconds": case.seconds,
        "tangent_cost": cost,
        "least": float(least),
        "found": values_of(case, np.array(best)).tolist(),
        "methods": methods,
        "years": years,
    }


def _ended(
    case: Case, x: Array, phi: Array, runs: list[float], iterations: list[int], wall: float
) -> dict[str, Any]:
    best = int(np.nanargmin(phi))
    return {
        "sum_of_squares": np.where(np.isnan(phi), np.inf, phi).tolist(),
        "x": x.tolist(),
        "best": x[best].tolist(),
        "values": values_of(case, x[best]).tolist(),
        "runs": runs,
        "iterations": iterations,
        "wall_s": wall,
    }


def _scipy(case: Case, starts: Array, jacobian: Literal["exact", "2-point"], cost: float) -> dict[str, Any]:
    """`least_squares` (trf, limits) from all starts side by side."""
    free, together = case.free, Together(case, len(starts))

    def one(who: int) -> OptimizeResult:
        def residuals(x: Array) -> Array:
            return together.residuals(who, x)

        def slopes(x: Array) -> Array:
            return together.jacobian(who, x)

        try:
            return least_squares(
                residuals,
                np.clip(starts[who], free.low + 1e-6, free.high - 1e-6),
                slopes if jacobian == "exact" else jacobian,
                (free.low, free.high),
                method="trf",
                x_scale=free.high - free.low,
                diff_step=np.full(free.start.size, 1e-3),
                ftol=1e-5,
                xtol=1e-5,
                max_nfev=60,
            )
        finally:
            together.leave()

    begin = time.perf_counter()
    with ThreadPoolExecutor(len(starts)) as pool:
        found = list(pool.map(one, range(len(starts))))
    wall = time.perf_counter() - begin
    runs = together.runs + together.jacobians * (1.0 + free.start.size * cost)
    x, phi = np.stack([f.x for f in found]), np.array([2.0 * f.cost for f in found])
    return _ended(case, x, phi, runs.tolist(), [int(f.njev) for f in found], wall)


def _years(case: Case, x: Array) -> dict[str, int]:
    """Simulated years of plants and soil that one prediction takes at coordinates x, and one with exact derivatives.

    From the balance of the project's parameters in both ways; `cold` begins with the model's own first state.
    """
    sites = case.everything.sites
    fixed = sites.fixed
    parameters = with_values(
        case.free, case.free.values(jnp.asarray(x)), fixed.parameters, sites.columns, fixed.organic
    )
    forcing, soil = fixed.first
    steady = sites.settings.with_baseline(True)
    after = fixed.running.forcing.tair.shape[0]
    near, _ = repeat(fixed.start, forcing, soil, parameters, steady, PLAIN_YEARS)
    solved = acceleration.solve(
        near, forcing, soil, parameters, steady, done=np.zeros(1, bool), most=NEWTON_STEPS
    )
    steps = int(solved.steps[0])
    memory = MEMORY_YEARS + MAP_YEARS
    search = PLAIN_YEARS + (steps - 1) * SETTLE_YEARS + steps * memory * (1 + POOLS)
    tail = memory + AFTER_YEARS + after
    size = case.free.start.size
    found = {
        "newton_steps": steps,
        "newton": search + tail,
        "newton_with_derivatives": search + tail * (1 + size),
    }
    initial = jax.jit(initial_state, static_argnames="settings")(forcing, parameters, settings=sites.settings)
    cold = initial._replace(heat=fixed.start.heat, saturation=fixed.start.saturation)
    wanted = case.wanted.model_copy(
        update={
            "equilibrium": case.wanted.equilibrium.model_copy(update={"method": "plain", "years": 20_000})
        }
    )
    for name, start in (("plain", fixed.start), ("cold", cold)):
        balance = phases.equilibrium(start, forcing, soil, parameters, wanted, steady)
        found[name] = int(balance.years[0]) + after
    return found


def tell_searches(found: dict[str, Any]) -> str:
    """Tables of `searches`."""
    run, jacobian = found["batch_seconds"]
    methods, names = found["methods"], found["parameters"]
    rows = []
    for name, m in methods.items():
        count = len(m["runs"])
        rows.append(
            (
                name,
                f"{min(m['sum_of_squares']):.2f}",
                *(float(v) for v in m["values"]),
                f"{100 * m['apart']:.2f} %",
                f"{m['reached']} of {count}",
                f"{np.mean(m['iterations']):.1f}",
                f"{np.mean(m['runs']):.0f}",
                f"{m['wall_s'] / count:.1f} s",
            )
        )
    head = (
        "search",
        "sum of squares",
        *names,
        "apart",
        "reached it",
        "iterations",
        "run-equivalents",
        "wall",
    )
    start, end = found["years"]["at the start"], found["years"]["at the optimum"]
    # years a start: what its runs take, each with the years of one prediction at the optimum
    exact, differences = methods["exact"], methods["differences"]
    size = len(names)
    jacobians = float(np.mean(exact["iterations"]))
    trials = float(np.mean(exact["runs"])) - jacobians * (1 + size * found["tangent_cost"])
    ours = trials * end["newton"] + jacobians * end["newton_with_derivatives"]
    runs = float(np.mean(differences["runs"]))
    work = [
        ("exact derivatives, Newton's method", f"{ours:,.0f}", 1.0, "its runs, counted"),
        (
            "finite differences, Newton's method",
            f"{runs * end['newton']:,.0f}",
            runs * end["newton"] / ours,
            "its runs, counted",
        ),
        (
            "finite differences, plain spin-up from the project's balance",
            f"{runs * end['plain']:,.0f}",
            runs * end["plain"] / ours,
            "computed: its runs as counted, not run so",
        ),
        (
            "finite differences, plain spin-up from the first state",
            f"{runs * end['cold']:,.0f}",
            runs * end["cold"] / ours,
            "computed: its runs as counted, not run so",
        ),
    ]
    lengths = [
        (label, y["newton_steps"], y["newton"], y["newton_with_derivatives"], y["plain"], y["cold"])
        for label, y in (("project's values", start), ("optimum", end))
    ]
    return "\n\n".join(
        [
            f"{found['starts']} starts, {found['targets']} targets. A batch of {BATCH} runs takes {run:.2f} s, of "
            f"{BATCH} exact Jacobians {jacobian:.2f} s: a tangent costs {found['tangent_cost']:.2f} runs.",
            table(head, rows),
            table(
                (
                    "parameters",
                    "Newton steps",
                    "years",
                    "with derivatives",
                    "plain years",
                    "from the first state",
                ),
                lengths,
            ),
            table(("years of a start, to its end", "years", "ratio", ""), work),
        ]
    )
