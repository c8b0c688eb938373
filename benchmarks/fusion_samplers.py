"""Samplers side by side on the posterior of a twin: cost, convergence, agreement (docs/science/fusion-samplers.md).

`python -m benchmarks.fusion_samplers run FOLDER [UNIT ...]` makes what is not there yet, one file a unit;
`python -m benchmarks.fusion_samplers summary FOLDER` prints tables from what is there. The twin is the reference pixel
at 62 N with monthly NBE of an assumed error of 1.04 g C m-2 d-1 (added: 0.3), LAI, two maps of wood and soil carbon.
Several copies of it stand in a block: they have the same data and different random numbers, hence replicates.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from talik.convergence import bulk_ess, kish_share, pareto_k, rhat, tail_ess
from talik.files import whole_file
from talik.fusion.agreement import LEVELS, excess, quantiles, spread_ratio
from talik.fusion.ap_mcmc import ApMcmcSettings, ap_mcmc
from talik.fusion.axis import Pixels
from talik.fusion.coordinates import from_parameters
from talik.fusion.de import DeSettings, de
from talik.fusion.draws import Draws, of_rounds
from talik.fusion.hmc import HmcSettings, draw_round, slower, starts, warm_up
from talik.fusion.infer import sample
from talik.fusion.nuts import NutsSettings, nuts
from talik.fusion.observations import Observations
from talik.fusion.posterior import (
    BlockData,
    block_data,
    parameters_of_walk,
    reference_walk,
    smoothed_target,
)
from talik.fusion.posterior_draws import NAMES, OUTPUTS, Seen, examine, together
from talik.fusion.settings import InferOptions, Sampler
from talik.fusion.smc import SmcSettings, smc
from talik.fusion.switches import BEST
from talik.fusion.target import Target
from talik.fusion.twin import Twin, reference_twin
from talik.jax64 import keep_compiled

BASE = replace(BEST, nbe="plain", som_burnt="profile")
"""The twin's own model: as the prototypes of the specification, to compare with."""
COPIES = 4
CLOUD = 1000
"""Draws of a replicate that distances are made of."""


_compiled = 0.0


def _watch_compiler() -> None:
    """Count the CPU seconds of the compiler from now on; no public hook tells them."""
    from jax._src import compiler

    inner = compiler.compile_or_get_cached

    def timed(*args: Any, **kwargs: Any) -> Any:
        global _compiled
        start = time.process_time()
        try:
            return inner(*args, **kwargs)
        finally:
            _compiled += time.process_time() - start

    compiler.compile_or_get_cached = timed


_watch_compiler()


class Clock:
    """CPU seconds of the process since it was made, apart from what XLA spends on compiling."""

    def __init__(self) -> None:
        self.start, self.compiled = time.process_time(), _compiled

    def seconds(self) -> tuple[float, float]:
        """Running (tracing is in it) and compiling."""
        compiling = _compiled - self.compiled
        return time.process_time() - self.start - compiling, compiling


def copies(twin: Twin, count: int, observations: Observations | None = None) -> tuple[BlockData, Pixels]:
    """A block of equal pixels, whose names, and so random numbers, differ; with other observations if given."""
    drivers = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), count, axis=-2), twin.drivers)
    seen = jax.tree.map(
        lambda x: jnp.repeat(jnp.asarray(x), count, axis=-1), observations or twin.observations
    )
    names = tuple(f"twin {k}" for k in range(count))
    return block_data(drivers, seen), Pixels(names, np.full(count, 62.0), np.full(count, 100.0))


def save(path: Path, told: dict[str, Any], **arrays: np.ndarray) -> None:
    """One result file, whole or not at all."""
    told["memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(path.stem, json.dumps(told), flush=True)
    with whole_file(path) as part, part.open("wb") as stream:
        np.savez(stream, told=json.dumps(told), **arrays)  # type: ignore[arg-type]


def _keep(path: Path, draws: Draws, seen: Seen, clock: Clock, **more: Any) -> None:
    running, compiling = clock.seconds()
    told = {
        "cpu": running,
        "compiling": compiling,
        "evaluations": draws.gradients.tolist(),
        "acceptance": np.asarray(draws.acceptance).tolist(),
        "divergent": np.asarray(draws.divergent).tolist(),
        **more,
    }
    weights = np.where(seen.passes, -seen.softness, -np.inf)
    save(
        path,
        told,
        values=seen.values.astype(np.float32),
        log_weights=weights.astype(np.float32),
        score=seen.score.astype(np.float32),
        u=draws.u[:, :, -1],
    )


def tuned_draws(
    target: Target, data: BlockData, u: Any, factor: Any, settings: HmcSettings, rounds: int
) -> Draws:
    """Draws of one pixel from starts u (1, n, chain), with the product's own warm-up but no tempered start."""
    number = np.array([1], np.uint32)
    step = jnp.asarray(np.array([0.1]))
    state, spent = warm_up(target, data, number, 0, jnp.asarray(u), jnp.asarray(factor), step, settings)
    kept, tuned = [], state.step
    for _ in range(rounds):
        state, made = draw_round(target, data, number, 0, state, settings)
        state = slower(state, tuned, made)
        kept.append(made)
    return of_rounds(kept, 0.0, spent * settings.chains)


def run_hmc(path: Path, years: int, count: int, sampler: Sampler | None = None) -> None:
    """The product's own sampler until T6."""
    twin = reference_twin(years, BASE)
    data, pixels = copies(twin, count)
    clock, lines = Clock(), []

    def tell(line: str) -> None:
        lines.append((*clock.seconds(), line))
        print(*(f"{x:.1f}" for x in lines[-1][:2]), line, flush=True)

    found = sample(data, twin.axis, pixels, InferOptions(sampler or Sampler(), BASE, seed=0), tell)
    _keep(
        path,
        found.draws,
        found.seen,
        clock,
        lines=lines,
        pareto_k=found.pareto_k.tolist(),
        reasons=[found.reasons(k) for k in range(count)],
    )


def run_nuts(path: Path) -> None:
    """NUTS from the tempered start of one copy."""
    twin = reference_twin(5, BASE)
    data, _ = copies(twin, COPIES)
    numbers = np.arange(COPIES)
    target = smoothed_target(BASE)
    clock = Clock()
    particles = smc(target, data, numbers, 7, SmcSettings())
    u = starts(particles, 16, 0, numbers)
    draws = nuts(target, data.pixel(0), u[:1], particles.factor[:1], 0, NutsSettings(draws=1000))
    seen = together([examine(draws.u, data.pixel(0), twin.axis, BASE)])
    _keep(path, draws, seen, clock)


def run_de(path: Path) -> None:
    """Differential evolution from draws of the reference density."""
    twin = reference_twin(5, BASE)
    data, _ = copies(twin, COPIES)
    clock = Clock()
    settings = DeSettings(walkers=64, generations=40_000, thin=40)
    draws = de(smoothed_target(BASE), data, np.arange(COPIES), 0, settings)
    seen = together([examine(draws.u, data, twin.axis, BASE)])
    _keep(path, draws, seen, clock)


def small() -> dict[str, Any]:
    """T5 and T7 in two minutes: three years without D3, chains from the truth against walkers from the reference."""
    switches = replace(BASE, steady="none")
    twin = reference_twin(3, switches)
    data, _ = copies(twin, 2)
    target = smoothed_target(switches)
    one = data.pixel(0)
    u = np.asarray(from_parameters(twin.theta, one.year, one.mean_temperature, switches))
    near = np.random.default_rng(0).normal(0.0, 0.1, (1, u.shape[1], 24))
    settings = HmcSettings(chains=24, draws=1000)
    drawn = tuned_draws(target, one, u + near, 0.1 * np.eye(u.shape[1])[None], settings, 1)
    hmc = together([examine(drawn.u, one, twin.axis, switches)])
    found = de(target, data, np.arange(2), 0, DeSettings(walkers=64, generations=12_000, thin=20))
    walkers = together([examine(found.u, data, twin.axis, switches)])
    # of many short searches some end where the constraints hold, sooner than few long ones
    short = ApMcmcSettings(chains=24, iterations=40_000, search=20_000)
    walk = ap_mcmc(reference_walk(switches), data, np.arange(2), 0, short)
    theta = parameters_of_walk(walk.draws.u, switches)
    reproduced = together([examine(theta, data, twin.axis, switches, coordinates=False)])
    told: dict[str, Any] = {"rhat": float(np.nanmax(rhat(hmc.values[0]))), "started": walk.started.tolist()}
    weights = np.where(hmc.passes, -hmc.softness, -np.inf)[0]
    for output in OUTPUTS:
        k = NAMES.index(output)
        smooth, hard = quantiles(hmc.values[0][..., k]), quantiles(hmc.values[0][..., k], LEVELS, weights)
        other = quantiles(walkers.values[..., k].reshape(-1, walkers.values.shape[2]))
        medians = np.median(reproduced.values[..., k], axis=2)[walk.started]
        told[output] = {
            "hmc": smooth.values.tolist(),
            "de": other.values.tolist(),
            "excess": excess(smooth, other),
            "hard": hard.values.tolist(),
            "sd": hard.sd,
            "ap_medians": medians.tolist(),
        }
    return told


UNITS: dict[str, Callable[[Path], None]] = {
    "hmc-5": lambda path: run_hmc(path, 5, COPIES),
    "de-5": run_de,
    "hmc-19": lambda path: run_hmc(path, 19, 2),
    "nuts-5": run_nuts,
}


def load(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """A unit that is there."""
    path = folder / f"{name}.npz"
    if not path.exists():
        return None
    with np.load(path) as held:
        return json.loads(str(held["told"])), {k: held[k] for k in held.files if k != "told"}


def table(folder: Path) -> None:
    """A row for each copy of each unit."""
    print(f"{sum(load(folder, u) is not None for u in UNITS)} of {len(UNITS)} units done\n")
    print(
        "| unit | chains x draws | CPU-s (compiling) | evaluations | R-hat parameters / outputs "
        "| bulk / tail ESS | least ESS a CPU-s | failed, % | kept / Kish | k |"
    )
    for name in UNITS:
        if (held := load(folder, name)) is None:
            continue
        told, arrays = held
        values, weights = arrays["values"].astype(float), arrays["log_weights"].astype(float)
        count = len(values)
        for k in range(count):
            r, bulk, tail = (f(values[k]) for f in (rhat, bulk_ess, tail_ess))
            n = len(NAMES) - len(OUTPUTS)
            cpu = told["cpu"] / count
            flat = weights[k].ravel()
            print(
                f"| {name} {k + 1} | {values.shape[1]} x {values.shape[2]} | {cpu:.0f} ({told['compiling']:.0f}) | "
                f"{told['evaluations'][k]:.2g} | {np.nanmax(r[:n]):.3f} / {np.nanmax(r[n:]):.3f} | "
                f"{np.nanmin(bulk):.0f} / {np.nanmin(tail):.0f} | {np.nanmin(bulk) / cpu:.1f} | "
                f"{100 * told['divergent'][k]:.2f} | {np.isfinite(flat).mean():.2f} / {float(kish_share(flat)):.2f} | "
                f"{float(pareto_k(flat[np.isfinite(flat)])):.2f} |"
            )


def cloud(values: np.ndarray) -> np.ndarray:
    """Evenly chosen draws (draw, n) of (chain, draw, n): logarithms of parameters, and outputs."""
    flat = values.reshape(-1, values.shape[-1]).astype(float)
    chosen = flat[np.linspace(0, len(flat) - 1, CLOUD).astype(int)]
    n = len(NAMES) - len(OUTPUTS)
    return np.concatenate([np.log(chosen[:, :n]), chosen[:, n:]], axis=1)


def agreement(folder: Path, first: str, second: str) -> None:
    """T5: quantiles of each output, copies together, and distances of copies."""
    held = [load(folder, name) for name in (first, second)]
    if held[0] is None or held[1] is None:
        return
    (_, a), (_, b) = held
    print(f"\n{first} against {second}")
    for output in OUTPUTS:
        found = []
        for of in (a, b):
            x = of["values"][..., NAMES.index(output)].astype(float)
            found.append(quantiles(x.reshape(-1, x.shape[-1])))
        told = " against ".join(" ".join(f"{v:.4g}" for v in q.values) for q in found)
        print(f"{output}: {told}; difference over what is accepted {excess(*found):.2f}")
    if min(len(a["values"]), len(b["values"])) > 1:
        clouds = [[cloud(copy) for copy in of["values"]] for of in (a, b)]
        print(f"sliced Wasserstein between over within {spread_ratio(*clouds):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "summary", "small"))
    parser.add_argument("folder", type=Path, nargs="?", default=Path("fusion-samplers"))
    parser.add_argument("units", nargs="*", default=list(UNITS), help=", ".join(UNITS))
    asked = parser.parse_args()
    if asked.what == "small":
        print(json.dumps(small()))
    elif asked.what == "run":
        keep_compiled()
        for name in asked.units:
            path = asked.folder / f"{name}.npz"
            if not path.exists():
                UNITS[name](path)
    else:
        table(asked.folder)
        agreement(asked.folder, "hmc-5", "de-5")
        agreement(asked.folder, "hmc-5", "nuts-5")


if __name__ == "__main__":
    main()
