"""Whether limits under a population of pixels hold the truth, and what many pixels cost.

`python -m benchmarks.fusion_hierarchical` prints the tables of docs/science/fusion-regional.md. It needs the folder
tests beside this one.
"""

from __future__ import annotations

import time

import numpy as np
from tests.fusion.worlds import coverage_of_shared

from talik.fusion.dependence import DRAWS
from talik.fusion.hierarchical import Shared, population, shared_members

REPLICATES = 300
NOISES = (0.7, 2.0)
PIXELS = (100, 1000, 4000)
PARAMETERS, MEMBERS = 3, 300


def coverage() -> None:
    """A row for each error of observation: coverage of nominal 95 % limits, %."""
    print(
        "| error of a pixel | common quantile | independent | hierarchical | not trusted | hierarchical, trusted |"
    )
    print("|---|---|---|---|---|---|")
    for noise in NOISES:
        found = coverage_of_shared(REPLICATES, noise=noise)
        print(f"| {noise:g} | " + " | ".join(f"{of:.1f}" for of in found.values()) + " |", flush=True)


def cost() -> None:
    """A row for each number of pixels: seconds, and what members the population leaves."""
    print("| pixels | CPU-s | effective members, median | poor pixels, % | noise | trusted |")
    print("|---|---|---|---|---|---|")
    of = [Shared(f"p{k}", 0.1, 1.0) for k in range(PARAMETERS)]
    for pixels in PIXELS:
        rng = np.random.default_rng(0)
        centre = 0.5 * rng.standard_normal((pixels, 1, PARAMETERS)) + 0.4
        y = centre + 0.8 * rng.standard_normal(centre.shape)
        y = y + 0.8 * rng.standard_normal((pixels, MEMBERS, PARAMETERS))
        values = np.stack([one.value(y[..., k]) for k, one in enumerate(of)], axis=-1)
        start = time.process_time()
        found = population(*shared_members(of, values), rng, DRAWS)
        spent = time.process_time() - start
        print(
            f"| {pixels} | {spent:.1f} | {np.median(found.effective):.0f} | {100 * found.poor.mean():.1f} | "
            f"{found.noise:.2f} | {'no' if found.reason else 'yes'} |",
            flush=True,
        )


if __name__ == "__main__":
    coverage()
    print()
    cost()
