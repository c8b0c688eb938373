"""Whether regional limits hold the truth under each assumption, and what many pixels cost.

`python -m benchmarks.fusion_dependence` prints the tables of docs/science/fusion-regional.md. It needs the folder tests
beside this one.
"""

from __future__ import annotations

import time

import numpy as np
from tests.fusion.worlds import arctic, coverage_of_truth

from talik.fusion.dependence import (
    ALPHAS,
    DEFAULT_KERNEL,
    DRAWS,
    INDUCING,
    LENGTHS_KM,
    MOST_EXACT,
    copula_sums,
    local_field,
)

REPLICATES = 1000
PIXELS = (1000, 4000, 14_600)
VARIABLES, MEMBERS = 7, 200


def coverage() -> None:
    """A row for each true kernel: coverage of nominal 95 % limits, %."""
    default = (DEFAULT_KERNEL.length_km, DEFAULT_KERNEL.alpha)
    print("| true length, km | true alpha | common quantile | independent | true kernel | default kernel |")
    print("|---|---|---|---|---|---|")
    for length_km in LENGTHS_KM:
        for alpha in ALPHAS:
            found = coverage_of_truth(length_km, alpha, REPLICATES)
            wrong = coverage_of_truth(length_km, alpha, REPLICATES, assumed=default)["copula"]
            print(
                f"| {length_km:g} | {alpha:g} | {found['common']:.1f} | {found['independent']:.1f} | "
                f"{found['copula']:.1f} | {wrong:.1f} |",
                flush=True,
            )


def cost() -> None:
    """A row for each number of pixels and length: seconds of the field and of the sums, and the error of the field."""
    print("| pixels | length, km | field, CPU-s | sums, CPU-s | error of the SD of a sum |")
    print("|---|---|---|---|---|")
    for pixels in PIXELS:
        lat, lon = arctic(pixels)
        members = np.random.default_rng(0).standard_normal((VARIABLES, pixels, MEMBERS))
        for length_km in LENGTHS_KM if pixels > MOST_EXACT else (DEFAULT_KERNEL.length_km,):
            start = time.process_time()
            field = local_field(lat, lon, length_km)
            made = time.process_time()
            copula_sums(members, np.ones((1, pixels)), field, ALPHAS, np.random.default_rng(1))
            summed = time.process_time()
            error = field.sd_error(np.ones(pixels))
            told = "exact" if field.exact else f"{100 * error:.3f} %"
            print(
                f"| {pixels} | {length_km:g} | {made - start:.1f} | {summed - made:.1f} | {told} |",
                flush=True,
            )


if __name__ == "__main__":
    print(f"{REPLICATES} worlds of 120 pixels between 55 and 75 N")
    coverage()
    print(
        f"\n{VARIABLES} variables, {len(ALPHAS)} alphas, {DRAWS} draws, {MEMBERS} members; {INDUCING} inducing places"
    )
    cost()
