"""A made-up region whose truth is known: pixels that converge, cost, memory, and the regional sum.

`python -m benchmarks.fusion_region run FOLDER` runs blocks of 4 pixels that are not there yet (TALIK needs nothing
else); `... summary FOLDER` prints the tables of docs/science/fusion-samplers.md. Pixels are scattered over 55-72 N and
60-150 E, colder to the north and east; each has its own truth near the reference pixel, its own weather, fires and
observations, and is sampled for five years by `infer_block` as in a run. Where no truth near the
reference keeps the constraints, years are drawn again.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.fusion_samplers import BASE, Clock, load, save
from talik.fusion.axis import Pixels, TimeAxis
from talik.fusion.check import NUMBERS
from talik.fusion.coordinates import DISTANCES, from_parameters, mean_year
from talik.fusion.dependence import (
    ALPHAS,
    LENGTHS_KM,
    common_quantile,
    copula_sums,
    independent_sums,
    local_field,
)
from talik.fusion.infer import LIMITS, infer_block
from talik.fusion.observations import Observations
from talik.fusion.parameters import P
from talik.fusion.posterior import block_data
from talik.fusion.settings import InferOptions, Sampler
from talik.fusion.twin import (
    REFERENCE,
    Climate,
    Noise,
    Twin,
    climate_drivers,
    observe,
    parameters_at,
    passing,
)
from talik.rng import named_rng

PIXELS, BLOCK, YEARS = 52, 4, 5
TRIES, ATTEMPTS = 4000, 30
SHOWN = ("nee", "gpp", "rh", "fire")
LEVELS = (0.025, 0.5, 0.975)
CELL_M2 = 111_195.0**2
"""Of one degree at the equator."""


def places() -> tuple[np.ndarray, np.ndarray, list[Climate]]:
    """Latitude, longitude (pixel,) and climate of every pixel."""
    rng = named_rng(0, "places of the made-up region")
    lat, lon = rng.uniform(55.0, 72.0, PIXELS), rng.uniform(60.0, 150.0, PIXELS)
    mean = -3.0 - 0.6 * (lat - 62.0) - 0.03 * (lon - 100.0) + rng.normal(0.0, 1.0, PIXELS)
    half_range = np.clip(16.0 + 0.06 * (lon - 60.0) + rng.normal(0.0, 1.0, PIXELS), 12.0, 24.0)
    burned = 0.003 * np.exp(rng.normal(0.0, 0.7, PIXELS))
    made = zip(lat, mean, half_range, burned, strict=True)
    return lat, lon, [Climate(float(a), float(b), float(c), burned_per_year=float(d)) for a, b, c, d in made]


def block_of(number: int) -> tuple[Twin, Pixels]:
    """Twins of one block: each truth keeps the hard constraints and lies 0.3 about the reference in coordinates."""
    lat, lon, climates = places()
    here = slice(number * BLOCK, (number + 1) * BLOCK)
    axis = TimeAxis.of_years(2001, 2000 + YEARS)
    reference = jnp.asarray(np.repeat(REFERENCE[:, None, None], BLOCK, axis=1))
    rng = named_rng(number, "truths of the made-up region")
    truth = np.full((len(P), BLOCK, 1), np.nan)
    drivers = climate_drivers(axis, climates[here], 100 + number)
    for attempt in range(ATTEMPTS):
        lacking = np.isnan(truth[0, :, 0])
        other = climate_drivers(axis, climates[here], 100 + number + 1000 * attempt)
        drivers = jax.tree.map(partial(np.where, lacking[:, None]), other, drivers)
        year, mean = mean_year(drivers), jnp.asarray(drivers.mean_temperature).mean(axis=0)
        u = from_parameters(reference, year, mean, BASE)
        moved = 0.3 * rng.standard_normal((BLOCK, u.shape[1], TRIES))
        moved[:, np.array(DISTANCES)] *= 2.0 / 3.0
        theta = parameters_at(u + jnp.asarray(moved), year, mean, BASE)
        good = np.asarray(passing(theta, block_data(drivers, Observations()), BASE))
        for k in np.flatnonzero(lacking & good.any(axis=1)):
            truth[:, k, 0] = np.asarray(theta[:, k, good[k].argmax()])
        if np.isfinite(truth).all():
            break
    else:
        raise SystemExit(f"block {number}: a pixel has no truth that keeps the constraints")
    pixels = Pixels(tuple(f"pixel {k}" for k in range(here.start, here.stop)), lat[here], lon[here])
    return observe(axis, drivers, jnp.asarray(truth), BASE, Noise(true_nbe=0.3), number), pixels


def run(path: Path, number: int) -> None:
    """One block as a run of the product would."""
    twin, pixels = block_of(number)
    clock = Clock()
    lines: list[str] = []
    found = infer_block(
        twin.drivers,
        twin.observations,
        twin.axis,
        pixels,
        InferOptions(Sampler(), BASE, seed=0),
        lines.append,
    )
    running, compiling = clock.seconds()
    days = twin.axis.dt

    def annual(flux: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("tp...,t->p...", flux, days) / YEARS)

    true = {name: annual(np.asarray(getattr(twin.trajectory.fluxes, name))[..., 0]) for name in SHOWN}
    told = {"cpu": running, "compiling": compiling, "lines": lines}
    save(
        path,
        {**told, "reasons": found.reason},
        members=np.stack([annual(found.fluxes[name]) for name in SHOWN]),
        truth=np.stack([true[name] for name in SHOWN]),
        **{name: np.asarray(of) for name, of in found.diagnostics.items()},
    )


def blocks(folder: Path) -> dict[int, tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """What is told of the blocks that are done, and their arrays."""
    return {k: one for k in range(PIXELS // BLOCK) if (one := load(folder, f"block-{k:02d}")) is not None}


def summary(folder: Path) -> None:
    """Convergence, cost and memory; then regional sums under each assumption."""
    held = blocks(folder)
    print(f"{BLOCK * len(held)} of {PIXELS} pixels done")
    if not held:
        return
    arrays = {
        name: np.concatenate(
            [of[name] for _, of in held.values()], axis=0 if name not in ("members", "truth") else 1
        )
        for name in next(iter(held.values()))[1]
    }
    cpu = np.array([told["cpu"] for told, _ in held.values()])
    meets_t6 = np.maximum(arrays["rhat_parameters"], arrays["rhat_outputs"]) < LIMITS.rhat
    meets_t6 &= np.minimum(arrays["ess_bulk"], arrays["ess_tail"]) > LIMITS.ess
    meets_t6 &= arrays["divergences"] < LIMITS.divergent
    print(
        f"T6 {meets_t6.mean():.2f}, after the hard constraints too {arrays['converged'].mean():.2f}, map quality "
        f"{arrays['map_quality'].mean():.2f}; "
        f"CPU-s a pixel {cpu.sum() / BLOCK / len(held):.1f} ({cpu.min() / BLOCK:.1f} to {cpu.max() / BLOCK:.1f} by "
        f"block), compiling {sum(told['compiling'] for told, _ in held.values()):.0f}; "
        f"memory {max(told['memory_gb'] for told, _ in held.values()):.1f} GB"
    )
    for name in NUMBERS:
        levels = np.quantile(arrays[name].astype(float), (0.0, 0.5, 1.0))
        print(f"{name}: least, median, largest {' '.join(f'{v:.4g}' for v in levels)}")
    for told, _ in held.values():
        for reason in filter(None, told["reasons"]):
            print("  not converged:", reason[:200])
    members, truth = arrays["members"], arrays["truth"]
    for k, name in enumerate(SHOWN):
        low, high = np.quantile(members[k], (0.025, 0.975), axis=1)
        q1, q3 = np.quantile(members[k], (0.25, 0.75), axis=1)
        inside = [np.mean((a <= truth[k]) & (truth[k] <= b)) for a, b in ((q1, q3), (low, high))]
        print(f"{name}: truth inside 50 % {inside[0]:.2f}, 95 % {inside[1]:.2f}")
    lat, lon, _ = places()
    chosen = np.concatenate([np.arange(k * BLOCK, (k + 1) * BLOCK) for k in held])
    lat, lon = lat[chosen], lon[chosen]
    weights = (CELL_M2 * np.cos(np.deg2rad(lat)) * 1e-12)[None]
    print(f"\nTg C a year of {len(lat)} cells of one degree: {' '.join(SHOWN)}")
    print("truth: " + " ".join(f"{v:.3g}" for v in (truth @ weights[0])))
    rng = np.random.default_rng(0)
    show("common quantile", common_quantile(members, weights, LEVELS)[:, 0])
    show("independent", np.quantile(independent_sums(members, weights, rng)[:, 0], LEVELS, axis=1).T)
    for length in LENGTHS_KM:
        drawn = copula_sums(members, weights, local_field(lat, lon, length), ALPHAS, rng)
        for alpha, one in zip(ALPHAS, drawn, strict=True):
            show(f"{length:g} km, alpha {alpha:g}", np.quantile(one[:, 0], LEVELS, axis=1).T)


def show(name: str, limits: np.ndarray) -> None:
    """A row of 2.5, 50 and 97.5 % (variable, level)."""
    print(f"| {name} | " + " | ".join(" / ".join(f"{v:.3g}" for v in one) for one in limits) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "summary"))
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if asked.what == "summary":
        summary(asked.folder)
        return
    from talik.jax64 import keep_compiled

    keep_compiled()
    for number in range(PIXELS // BLOCK):
        path = asked.folder / f"block-{number:02d}.npz"
        if not path.exists():
            run(path, number)


if __name__ == "__main__":
    main()
