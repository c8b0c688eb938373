"""Simulation-based calibration and recovery of twins: is the posterior of the fusion the right one?

`python -m benchmarks.fusion_calibration run FOLDER [--count 200] [--sd-factor 1] [--rounds 1]` draws true parameters
from the posterior of a first set of observations, observes five years of each once more with exactly the errors that
the likelihood assumes, samples the posterior of both sets, and writes one file a block of 4 twins into FOLDER; what is
there is skipped. `--sd-factor 0.5` assumes the new errors half as large as they are: a wrong posterior, which must be
found out. `--count 20 --rounds 10` samples until convergence, to judge recovery.
`nothing FOLDER --rounds 10` samples the posterior without observations, to be compared with the prior.
`summary FOLDER [--figure FILE]` prints the tables of what is finished, says how much that is, and draws the ranks.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.fusion_calibration_told import SEED, Found, finished, nothing, ranks_of, recovery, told
from talik.convergence import rhat
from talik.files import whole_file
from talik.fusion.axis import Pixels
from talik.fusion.coordinates import CIRCULAR
from talik.fusion.drivers import Drivers
from talik.fusion.infer import Posterior, members_of, sample
from talik.fusion.observations import Observations, Stream
from talik.fusion.parameters import P
from talik.fusion.phenology import YEAR
from talik.fusion.posterior import BlockData, block_data
from talik.fusion.posterior_draws import NAMES, examine
from talik.fusion.prior_draws import weighted_prior
from talik.fusion.settings import InferOptions, Sampler
from talik.fusion.switches import BEST
from talik.fusion.twin import (
    REFERENCE,
    Climate,
    Noise,
    Twin,
    climate_drivers,
    observe_exactly,
    reference_twin,
    without_values,
)
from talik.jax64 import keep_compiled
from talik.rng import named_rng

Floats = NDArray[np.float64]

YEARS = 5
CLIMATES = tuple(
    Climate(latitude, mean, half_range, burned_per_year=burned)
    for latitude, mean, half_range, burned in (
        (55.0, 1.0, 14.0, 0.002),
        (57.0, 0.0, 16.0, 0.005),
        (58.0, -1.0, 17.0, 0.008),
        (59.0, -2.0, 16.0, 0.003),
    )
)
"""The pixels without observations."""
TWINS = 4
"""Of a block, each with a truth of its own."""
SWITCHES, NOISE = BEST, Noise()
SAMPLER = Sampler(chains=16, draws=250, particles=48)
SHORT, LONG = 1, 10
"""Rounds at most: for ranks, and for recovery."""
TRUTHS, TRUE_ROUNDS = 200, 10
"""Of the posterior of the first observations, and rounds that it is sampled."""
PROPOSALS = 3_000_000
"""Of the prior of each climate."""
MEMBERS = 99
"""Draws of equal weight that the truth is ranked among."""
WEIGHTED = 300
"""Effective draws of the prior for that."""


def pixels(label: str, count: int = TWINS) -> Pixels:
    """Names decide the random numbers of the samplers."""
    return Pixels(tuple(f"{label} {k}" for k in range(count)), np.full(count, 62.0), np.full(count, np.nan))


def options(sampler: Sampler) -> InferOptions:
    return InferOptions(sampler=sampler, switches=SWITCHES, seed=SEED)


def first(years: int = YEARS) -> Twin:
    """The reference pixel and the first observations of it."""
    twin = reference_twin(years, SWITCHES)
    return observe_exactly(twin.axis, twin.drivers, twin.theta, SWITCHES, NOISE, SEED)


def repeated(drivers: Drivers, count: int) -> Drivers:
    """The same drivers in several pixels."""
    whole: Drivers = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), count, axis=-2), drivers)
    return whole


def joined(before: Observations, new: Observations, sd_factor: float) -> Observations:
    """Two sets of observations of pixels with the same errors as one, if those of the new set are taken for `sd_factor`
    times what they are: means weighted by precision, of logarithms where errors are lognormal."""
    share = 1.0 / (1.0 + sd_factor**2)

    def both(name: str) -> Stream:
        a, b = getattr(before, name), getattr(new, name)
        values = (np.log(x.value) if a.log else x.value for x in (a, b))
        mean = sum(w * value for w, value in zip((1.0 - share, share), values, strict=True))
        value = np.where(b.seen, np.exp(mean) if a.log else mean, 1.0)
        return replace(b, value=value, sd=b.sd * np.sqrt(1.0 - share))

    a, b = before.nbe, new.nbe
    assert a is not None
    assert b is not None
    nbe = replace(
        b,
        value=(1.0 - share) * a.value + share * b.value,
        whitening=b.whitening / np.sqrt(1.0 - share),
    )
    return Observations(lai=both("lai"), wood=both("wood"), soc=both("soc"), nbe=nbe)


def observed(twin: Twin, theta: Floats, block: int, sd_factor: float) -> tuple[BlockData, Floats]:
    """What is known of twins with true parameters (28, pixel), and the truth (28, pixel, 1)."""
    there = repeated(twin.drivers, theta.shape[1])
    true = jnp.asarray(theta)[..., None]
    new = observe_exactly(twin.axis, there, true, SWITCHES, NOISE, 1000 * SEED + block)
    return block_data(there, joined(twin.observations, new.observations, sd_factor)), np.asarray(true)


def truths(folder: Path, twin: Twin) -> Floats:
    """Draws (28, TRUTHS) of the posterior of the first observations, from the folder or sampled."""
    file = folder / "truths.npz"
    if not file.exists():
        begun = time.process_time()
        data = block_data(twin.drivers, twin.observations)
        sampler = SAMPLER.model_copy(update={"rounds": TRUE_ROUNDS})
        found = sample(data, twin.axis, pixels("first", 1), options(sampler), print)
        theta = drawn(found.seen.theta, found.log_weights, TRUTHS)
        save(file, {"theta": theta, **diagnostics(found, time.process_time() - begun)})
    with np.load(file) as there:
        return np.asarray(there["theta"])


def drawn(theta: Floats, log_weights: Floats, count: int) -> Floats:
    """Truths (28, count) in proportion to their weights, of draws (..., 28) of one posterior, in random order."""
    chosen = members_of(log_weights.ravel(), count, named_rng(SEED, "truths"))
    order = named_rng(SEED, "order of truths").permutation(count)
    return theta.reshape(-1, len(P))[chosen].T[:, order]


def inferred(twin: Twin, theta: Floats, block: int, sd_factor: float, sampler: Sampler) -> Found:
    """What the posterior of both sets of observations says of twins with true parameters (28, pixel)."""
    begun = time.process_time()
    data, true = observed(twin, theta, block, sd_factor)
    found = sample(data, twin.axis, pixels(f"block {block}", theta.shape[1]), options(sampler))
    states = np.moveaxis(true, 0, -1)[:, None]
    seen = examine(states, data, twin.axis, SWITCHES, coordinates=False)
    return {
        **of_posterior(found, block),
        "truth": turned(seen.values)[:, 0, 0],
        "true_score": seen.score[:, 0, 0],
        **diagnostics(found, time.process_time() - begun),
    }


def run(folder: Path, count: int, sd_factor: float, rounds: int) -> None:
    keep_compiled()
    if count > TRUTHS:
        raise SystemExit(f"{count} twins are wanted; there are {TRUTHS} truths")
    twin = first()
    theta = truths(folder, twin)
    blocks, sampler = -(-count // TWINS), SAMPLER.model_copy(update={"rounds": rounds})
    for block in range(blocks):
        file = blocks_of(folder, sd_factor, rounds) / f"block-{block:03d}.npz"
        if file.exists():
            continue
        told = inferred(twin, theta[:, block * TWINS : (block + 1) * TWINS], block, sd_factor, sampler)
        save(file, told)
        print(f"block {block + 1} of {blocks}: {float(told['seconds']):.0f} CPU-s", flush=True)


def run_nothing(folder: Path, rounds: int) -> None:
    """The posterior of nothing by the sampler, and the prior with its constraints by importance."""
    keep_compiled()
    file = folder / f"nothing-rounds-{rounds}.npz"
    # the shapes are those of twins, so that compiled code serves both
    twin = first()
    seen, _ = observed(twin, np.repeat(REFERENCE[:, None], len(CLIMATES), axis=1), 0, 1.0)
    there = climate_drivers(twin.axis, list(CLIMATES), SEED)
    data = block_data(there, without_values(seen.observations))
    if not file.exists():
        begun = time.process_time()
        sampler = SAMPLER.model_copy(update={"rounds": rounds})
        found = sample(data, twin.axis, pixels("nothing", len(CLIMATES)), options(sampler), print)
        save(
            file,
            {
                "values": turned(found.seen.values[..., : len(P)]),
                "log_weights": found.log_weights,
                **diagnostics(found, time.process_time() - begun),
            },
        )
    for k in range(len(CLIMATES)):
        file = folder / f"weighted-prior-{k}.npz"
        if not file.exists():
            prior = weighted_prior(data.pixel(k), SWITCHES, SEED + 100 + k, WEIGHTED, PROPOSALS)
            save(file, {"theta": prior.theta, "weights": prior.weights})


def of_posterior(found: Posterior, block: int) -> Found:
    """Members of equal weight, mean, sd and share of the score, of each pixel of a block."""
    values = turned(found.seen.values)
    weights = found.log_weights.reshape(len(values), -1)
    flat = values.reshape(len(values), -1, values.shape[-1])
    score = found.seen.score.reshape(len(values), -1)
    members = np.full((len(values), MEMBERS, len(NAMES)), np.nan)
    mean, sd = np.full((2, len(values), len(NAMES)), np.nan)
    top = np.full(len(values), np.nan)
    for k in np.flatnonzero(found.alive):
        rng = named_rng(SEED, f"members of twin {block} {k}")
        members[k] = flat[k][members_of(weights[k], MEMBERS, rng)]
        share = np.exp(weights[k] - weights[k].max())
        mean[k] = np.average(flat[k], axis=0, weights=share)
        sd[k] = np.sqrt(np.average((flat[k] - mean[k]) ** 2, axis=0, weights=share))
        top[k] = np.quantile(score[k][np.isfinite(weights[k])], 0.999)
    return {"members": members, "mean": mean, "sd": sd, "top_score": top}


def turned(values: Floats) -> Floats:
    """Values (..., name) with days counted from the first of January, so that ranks have a fixed origin."""
    out = np.array(values)
    out[..., list(CIRCULAR)] = np.mod(out[..., list(CIRCULAR)], YEAR)
    return out


def diagnostics(found: Posterior, seconds: float) -> Found:
    worst = [np.nanmax(rhat(one)) for one in found.seen.values]
    return {
        "alive": found.alive,
        "converged": np.array([not found.reasons(k) for k in range(len(found.alive))]),
        "rhat": np.array(worst),
        "ess": np.array([min(v.bulk_ess, v.tail_ess) for v in found.verdicts]),
        "kept": found.kept,
        "kish": found.kish,
        "pareto_k": found.pareto_k,
        "divergent": found.draws.divergent,
        "gradients": found.draws.gradients,
        "seconds": np.array(seconds),
    }


def save(file: Path, arrays: Found) -> None:
    with whole_file(file) as part, part.open("wb") as out:
        np.savez_compressed(out, **arrays)


def blocks_of(folder: Path, sd_factor: float, rounds: int) -> Path:
    return folder / f"sd-{sd_factor:g}-rounds-{rounds}"


def summary(folder: Path, count: int, wrong: int, long: int, figure: Path | None) -> None:
    right = finished(blocks_of(folder, 1.0, SHORT))
    half = finished(blocks_of(folder, 0.5, SHORT))
    for line in told("right errors", right, count) + told("errors assumed half as large", half, wrong):
        print(line)
    recovered = finished(blocks_of(folder, 1.0, LONG))
    print(f"recovery: {recovered['alive'].size if recovered else 0} of {long} twins done")
    for name, value in (recovery(recovered) if recovered else {}).items():
        print(f"  {name}: {value:.3g}")
    for line in nothing(folder, LONG):
        print(line)
    if figure is not None and right:
        from talik.fusion.figures import alt_calibration_bands, calibration_bands

        drawn = calibration_bands(ranks_of(right))
        assert drawn is not None
        drawn.savefig(figure, dpi=80)
        print(alt_calibration_bands(ranks_of(right)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=("run", "nothing", "summary"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--sd-factor", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=SHORT)
    parser.add_argument(
        "--wrong", type=int, default=60, help="twins wanted with errors assumed half as large"
    )
    parser.add_argument("--long", type=int, default=20, help="twins wanted whose recovery is judged")
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    if asked.task == "run":
        run(asked.folder, asked.count, asked.sd_factor, asked.rounds)
    elif asked.task == "nothing":
        run_nothing(asked.folder, asked.rounds)
    else:
        summary(asked.folder, asked.count, asked.wrong, asked.long, asked.figure)


if __name__ == "__main__":
    sys.exit(main())
