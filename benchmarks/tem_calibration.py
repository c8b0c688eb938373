"""Evidence of the calibration: twins, searches side by side, simulation-based calibration.

`python -m benchmarks.tem_calibration twin|searches|sbc [--community NAME ...] [--json FILE]` with the test data
(TALIK_SHARED) prints the tables of the documentation.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from benchmarks.tem_calibration_case import TOWERS, Array, Case, case_of, table, values_of
from talik.rng import named_rng
from talik.tem.calibration import gml
from talik.tem.calibration.laplace import Laplace, laplace
from talik.tem.calibration.posterior import Noise, Prior

MOVED = np.array([0.2, 0.3, -0.2, 0.25, -0.3])
"""From the project's values to the truth: ln of cmax, kdb, nmax and nupb; krb."""
TWINS, AGAIN = 20, 4
"""Draws of noise, each with a start of its own; further starts of a twin that ended above the truth."""
LEVEL, DRAWS = 0.9, 400


@dataclass(frozen=True)
class Noisy:
    """A model against observations that it made itself, a draw of noise a row: a `differences.Model`.

    offset : (row, m) what the residuals of a row are short of, those at the truth less the noise.
    """

    case: Case
    offset: Array

    def residuals(self, x: Array) -> Array:
        """(row, m)."""
        return self.case.residuals(x) - self.offset

    def with_jacobian(self, x: Array) -> tuple[Array, Array]:
        """Residuals (row, m) and derivatives (row, m, n)."""
        found, slopes = self.case.with_jacobian(x)
        return found - self.offset, slopes


def twins(community: str, seed: int = 1) -> dict[str, Any]:
    """The twin experiment of one community.

    A twin has reached its optimum if its sum of squares is not above that of the truth. One that has not is searched
    from the next four points of the same hypercube too, and the best of the five ends counts.
    """
    case = case_of(community)
    free = case.free
    truth = free.start + MOVED
    if np.any((truth <= free.low) | (truth >= free.high)):
        raise RuntimeError(f"{community}: the truth lies outside the limits")
    at, slope = (a[0] for a in case.with_jacobian(truth[None]))
    noise = named_rng(seed, f"twins of {community}").standard_normal((TWINS, at.size))
    offset, bar = at - noise, np.sum(noise**2, axis=1)
    starts = gml.latin_hypercube(TWINS, free.low, free.high, seed, free.start)
    first = _search(case, offset, starts)
    x, phi = first.x.copy(), first.phi.copy()
    alone = phi <= bar
    lost = np.flatnonzero(~alone)
    if lost.size:
        rows = np.repeat(lost, AGAIN)
        places = (rows + np.tile(np.arange(1, AGAIN + 1), lost.size)) % TWINS
        more = _search(case, offset[rows], starts[places])
        for row, end, value in zip(rows, more.x, more.phi, strict=True):
            if not value >= phi[row]:
                x[row], phi[row] = end, value
    reached = phi <= bar
    residuals, slopes = Noisy(case, offset).with_jacobian(x)
    runs = np.flatnonzero(np.isfinite(residuals).all(axis=1))
    around = [_posterior(case, x[i], residuals[i], slopes[i]) for i in runs]
    tail = 0.5 * (1.0 - LEVEL)
    limits = np.stack([np.quantile(a.draws(DRAWS, seed), [tail, 1.0 - tail], axis=0) for a in around])
    covered = (limits[:, 0] <= truth) & (truth <= limits[:, 1])
    known = _posterior(case, truth, np.zeros(at.size), slope)
    size, pairs = truth.size, np.triu_indices(truth.size, 1)
    return {
        "community": community,
        "site": case.tower.site,
        "targets": int(at.size),
        "twins": TWINS,
        "alone": int(alone.sum()),
        "reached": int(reached.sum()),
        "failed": int(np.isnan(first.phi).sum()),
        "without_end": int(TWINS - runs.size),
        "sum_of_squares": {"found": phi.tolist(), "truth": bar.tolist()},
        "runs": first.runs.tolist(),
        "iterations": first.iterations.tolist(),
        "distance": [a.distance for a in around],
        "expected": [int(n) for n in binom.interval(0.95, TWINS, LEVEL)],
        "parameters": [
            {
                "name": case.names[i],
                "log": bool(free.log[i]),
                "truth": float(values_of(case, truth)[i]),
                "mean": float(values_of(case, x[reached].mean(axis=0))[i]),
                "bias": float(x[reached, i].mean() - truth[i]),
                "sd": float(x[reached, i].std(ddof=1)),
                "rmse": float(np.sqrt(np.mean((x[reached, i] - truth[i]) ** 2))),
                "standard_error": float(np.mean([a.standard_error[i] for a in around])),
                "prior_sd": float(np.sqrt(around[0].coordinates.variance[i])),
                "covered": int(covered[:, i].sum()),
                "at_limit": int(np.sum((x[runs, i] <= free.low[i]) | (x[runs, i] >= free.high[i]))),
                "identifiable": float(known.identifiable[i]),
            }
            for i in range(size)
        ],
        "directions": [
            {
                "identifiable": float(known.identifiable_directions[i]),
                "sd_of_prior": float(np.sqrt(1.0 - known.identifiable_directions[i])),
                **dict(zip(case.names, known.eigenvectors[:, i].tolist(), strict=True)),
            }
            for i in range(size)
        ],
        "correlations": sorted(
            (
                (case.names[i], case.names[j], float(known.correlation[i, j]))
                for i, j in zip(*pairs, strict=True)
            ),
            key=lambda row: -abs(row[2]),
        )[:3],
    }


def _search(case: Case, offset: Array, starts: Array) -> gml.Search:
    free = case.free
    return gml.search(Noisy(case, offset), starts, free.low, free.high, free.log, gml.Settings())


def _posterior(case: Case, x: Array, residuals: Array, slopes: Array) -> Laplace:
    prior = Prior.uniform(tuple(case.names), case.free.low, case.free.high)
    return laplace(prior, Noise.known(residuals.size), x, residuals, slopes)


def tell_twins(found: dict[str, Any]) -> str:
    """Tables of `twins`."""
    low, high = found["expected"]
    rows = [
        (
            p["name"],
            p["truth"],
            p["mean"],
            f"{p['bias']:+.3f}",
            p["sd"],
            p["rmse"],
            p["standard_error"],
            p["prior_sd"],
            f"{p['covered']} of {found['twins']}",
        )
        for p in found["parameters"]
    ]
    head = ("parameter", "truth", "found", "bias", "SD", "RMSE", "standard error", "prior SD", "covered")
    names = [p["name"] for p in found["parameters"]]
    directions = [
        (d["sd_of_prior"], " ".join(f"{d[n]:+.2f} {n}" for n in names)) for d in found["directions"]
    ]
    pairs = ", ".join(f"{a} and {b} {r:+.2f}" for a, b, r in found["correlations"])
    distance = float(np.median(found["distance"]))
    return "\n\n".join(
        [
            f"{found['community']}, {found['site']}: {found['targets']} targets; {found['alone']} of "
            f"{found['twins']} reached the optimum from one start, {found['reached']} from up to five; median "
            f"{np.median(found['iterations']):.0f} iterations, {np.median(found['runs']):.0f} run-equivalents; "
            f"median distance to the optimum {distance:.2g} SD.",
            table(head, rows),
            f"Expected coverage {low} to {high} of {found['twins']}. Correlations at the truth: {pairs}.",
            table(("SD after the data / before", "direction"), directions),
        ]
    )


TWO = (0, 1)
"""cmax and kdb."""
REACH, ERROR, REPETITIONS, RANKED = 0.2, 0.05, 400, 99
"""Of the uniform prior around the project's values, in ln; of every target, a share; draws of a posterior."""


@dataclass(frozen=True)
class Small:
    """Two parameters and twelve targets of a case, observed with noise of its own in each row."""

    case: Case
    rows: npt.NDArray[np.int64]
    scale: Array
    offset: Array

    def _points(self, x: Array) -> Array:
        points = np.repeat(self.case.free.start[None], len(x), axis=0)
        points[:, TWO] = x
        return points

    def residuals(self, x: Array) -> Array:
        """(row, 12)."""
        return self.case.residuals(self._points(x))[:, self.rows] * self.scale - self.offset

    def with_jacobian(self, x: Array) -> tuple[Array, Array]:
        """Residuals (row, 12) and derivatives (row, 12, 2)."""
        found, slopes = self.case.with_jacobian(self._points(x))
        slopes = slopes[:, self.rows][:, :, TWO] * self.scale[:, None]
        return found[:, self.rows] * self.scale - self.offset, slopes


def calibrated_draws(seed: int = 1) -> dict[str, Any]:
    """Ranks of the truth among draws of the Laplace approximation, on the model at the tower of wet tundra."""
    from talik.tem.calibration.posterior import uniform_ranks

    case = case_of("wet_tundra")
    middle = case.free.start[list(TWO)]
    held = case.value - case.residuals(case.free.start[None])[0] * case.sigma
    pools = np.arange(held.size - 4, held.size)
    months = np.argsort(-np.abs(held[:-4]), kind="stable")[:8]
    rows = np.concatenate([months, pools])
    scale = case.sigma[rows] / (ERROR * np.abs(held[rows]))
    prior = Prior.uniform(("cmax", "kdb"), middle - REACH, middle + REACH)
    rng = named_rng(seed, "simulation-based calibration")
    truth = prior.draw(REPETITIONS, rng)
    model = Small(case, rows, scale, np.zeros((REPETITIONS, rows.size)))
    model = Small(case, rows, scale, model.residuals(truth) - rng.standard_normal((REPETITIONS, rows.size)))
    settings = gml.Settings(first_lambda=1e-3, trials=4, iterations=6, patience=2)
    starts = np.repeat(middle[None], REPETITIONS, axis=0)
    found = gml.search(model, starts, prior.low, prior.high, np.ones(2, bool), settings)
    around = [
        laplace(prior, Noise.known(rows.size), *each)
        for each in zip(found.x, *model.with_jacobian(found.x), strict=True)
    ]
    rank = np.stack(
        [np.sum(a.draws(RANKED, i) < t, axis=0) for i, (a, t) in enumerate(zip(around, truth, strict=True))]
    )
    return {
        "repetitions": REPETITIONS,
        "p": uniform_ranks(rank, RANKED).tolist(),
        "ranks": rank.tolist(),
        "standard_error": np.mean([a.standard_error for a in around], axis=0).tolist(),
        "at_limit": int(np.any(found.at_limit != 0, axis=1).sum()),
        "distance": float(np.median([a.distance for a in around])),
    }


def sampled(seed: int = 1, repetitions: int = 40) -> dict[str, Any]:
    """Ranks of the truth among draws of the No-U-Turn Sampler: light response of twelve months, capacity and half
    saturation, which is not linear and costs nothing."""
    import jax
    import jax.numpy as jnp

    from talik.tem.calibration import nuts
    from talik.tem.calibration.posterior import Posterior, ranks, uniform_ranks

    light = np.linspace(0.2, 3.0, 12)
    prior = Prior.uniform(("ln capacity", "ln half saturation"), [-1.0, -1.0], [1.0, 1.0])
    noise, error, kept = Noise.known(light.size), 0.05, 19

    def response(x: Any) -> Any:
        return jnp.exp(x[..., :1]) * light / (jnp.exp(x[..., 1:]) + light)

    def simulate(x: Array, rng: np.random.Generator) -> Array:
        return np.asarray(response(x)) + error * rng.standard_normal(light.size)

    def sampler(data: Array, rng: np.random.Generator) -> Array:
        def residual(x: Any) -> Any:
            return (data - response(x)) / error

        middle = np.zeros(2)
        slope = np.asarray(jax.jacfwd(residual)(middle))
        start = laplace(prior, noise, middle, np.asarray(residual(middle)), slope)
        wanted = nuts.Settings(warmup=200, draws=200, chains=2, seed=int(rng.integers(2**31)))
        together = nuts.sample(Posterior(residual, prior, noise), start, wanted).together
        return np.asarray(together[np.linspace(0, len(together) - 1, kept).astype(int)])

    rank = ranks(simulate, sampler, prior, repetitions, seed)
    return {"repetitions": repetitions, "p": uniform_ranks(rank, kept, 5).tolist(), "ranks": rank.tolist()}


def tell_calibrated(laplace_ranks: dict[str, Any], nuts_ranks: dict[str, Any]) -> str:
    """The table of both."""
    rows = [
        (
            "Laplace",
            "process model at US-Atq: cmax, kdb",
            laplace_ranks["repetitions"],
            ", ".join(f"{p:.2f}" for p in laplace_ranks["p"]),
        ),
        (
            "No-U-Turn Sampler",
            "light response: capacity, half saturation",
            nuts_ranks["repetitions"],
            ", ".join(f"{p:.2f}" for p in nuts_ranks["p"]),
        ),
    ]
    return table(("draws of", "model: parameters", "repetitions", "p of uniform ranks"), rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables of one experiment."""
    from benchmarks.tem_calibration_searches import searches, tell_searches

    parser = argparse.ArgumentParser(prog="python -m benchmarks.tem_calibration", description=__doc__)
    parser.add_argument("what", choices=("twin", "searches", "sbc"))
    parser.add_argument("--community", action="append", choices=tuple(TOWERS), help="twin: all if not given")
    parser.add_argument("--json", type=Path, help="write everything that was found here too")
    given = parser.parse_args(arguments)
    held: Any
    if given.what == "twin":
        held = []
        for community in given.community or TOWERS:
            held.append(twins(community))
            print(tell_twins(held[-1]), end="\n\n", flush=True)
    elif given.what == "searches":
        held = searches()
        print(tell_searches(held))
    else:
        held = {"laplace": calibrated_draws(), "nuts": sampled()}
        print(tell_calibrated(held["laplace"], held["nuts"]))
    if given.json:
        given.json.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
