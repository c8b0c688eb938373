"""The reference's sampler on the twin at full length, beside the posterior that HMC finds (T7).

`python -m benchmarks.fusion_reproduction run FOLDER [UNIT ...]` makes what is not there yet: four copies of three
chains that start where the reference's own search ends. `... summary FOLDER --sensitivity FOLDER` then prints the
tables of docs/science/fusion-samplers.md; that folder is of `benchmarks.fusion_sensitivity`, whose draws of the same
switches are the posterior to be found.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from benchmarks.fusion_samplers import COPIES, Clock, copies, load, save
from benchmarks.fusion_sensitivity import VARIANTS, file_name, with_nbe
from talik.convergence import bulk_ess, rhat
from talik.fusion.agreement import LEVELS, quantiles
from talik.fusion.ap_mcmc import ApMcmcSettings, ap_mcmc, find_starts
from talik.fusion.posterior import BlockData, parameters_of_walk, reference_walk
from talik.fusion.posterior_draws import NAMES, OUTPUTS, examine, together
from talik.fusion.switches import Switches
from talik.fusion.twin import reference_twin
from talik.jax64 import keep_compiled

SETTINGS = ApMcmcSettings(iterations=1_000_000)
BASE_VARIANT = next(iter(VARIANTS))
UNITS = {"base": BASE_VARIANT, "reproduce": "reproduce"}
"""Variants of `benchmarks.fusion_sensitivity`."""
SEARCHES, ATTEMPTS = 96, 6
"""Chains that search at once, and how often others follow: 576 attempts of 1e5 proposals."""


def searched(data: BlockData, switches: Switches) -> tuple[np.ndarray, int]:
    """Starts (n, found) of a pixel where the constraints hold, and how many attempts were made."""
    held: list[np.ndarray] = []
    want = ApMcmcSettings(chains=SEARCHES, attempts=1)
    for attempt in range(ATTEMPTS):
        z, found, _ = find_starts(reference_walk(switches), data, [0], attempt, want)
        held.append(np.asarray(z[0])[:, np.asarray(found[0])])
        print(
            f"attempt {attempt + 1}: {held[-1].shape[1]} of {SEARCHES} chains keep the constraints",
            flush=True,
        )
        if sum(one.shape[1] for one in held) >= COPIES * SETTINGS.chains:
            break
    return np.concatenate(held, axis=1), SEARCHES * len(held)


def run(path: Path, switches: Switches) -> None:
    """Four copies of three chains."""
    twin = reference_twin(5, VARIANTS[BASE_VARIANT])
    data, _ = copies(twin, COPIES, with_nbe(twin, switches))
    clock = Clock()
    z, attempts = searched(data.pixel(0), switches)
    wanted = COPIES * SETTINGS.chains
    if z.shape[1] < wanted:
        sys.exit(
            f"{path.stem}: {z.shape[1]} of {attempts} attempts keep the constraints, fewer than {wanted}"
        )
    starts = jnp.asarray(z[:, :wanted].reshape(-1, COPIES, SETTINGS.chains).transpose(1, 0, 2))
    walk = ap_mcmc(reference_walk(switches), data, np.arange(COPIES), 0, SETTINGS, starts)
    theta = parameters_of_walk(walk.draws.u, switches)
    found = together([examine(theta, data, twin.axis, switches, coordinates=False)])
    save(
        path,
        {
            "attempts": attempts,
            "found": z.shape[1],
            "cpu": clock.seconds()[0],
            "acceptance": np.asarray(walk.draws.acceptance).tolist(),
            "rhat_log_density": walk.rhat.tolist(),
        },
        values=found.values.astype(np.float32),
        log_density=walk.draws.log_density.astype(np.float32),
        chains=walk.chains,
    )


def summary(folder: Path, sensitivity: Path) -> None:
    """Convergence of every copy, and its quantiles beside those of HMC."""
    for name, variant in UNITS.items():
        if (held := load(folder, name)) is None:
            continue
        told, arrays = held
        print(f"\n{name}: {told}")
        hmc = load(sensitivity, file_name(variant))
        if hmc is None:
            sys.exit(f"{sensitivity}: no {file_name(variant)}.npz; run benchmarks.fusion_sensitivity first")
        values = arrays["values"].astype(float)
        for k, one in enumerate(values):
            best = arrays["log_density"][k].max(axis=1)
            print(
                f"copy {k + 1}: best log density {' '.join(f'{v:.1f}' for v in best)}, chains kept "
                f"{int(arrays['chains'][k].sum())}, R-hat {np.nanmin(rhat(one)):.2f} to {np.nanmax(rhat(one)):.2f}, "
                f"least bulk ESS {np.nanmin(bulk_ess(one)):.0f}"
            )
        print(
            "| output | HMC, hard constraints | mean of the copies | sd of the copies | difference over 2 sd |"
        )
        reference, weights = (hmc[1][x][0].astype(float) for x in ("values", "log_weights"))
        for output in OUTPUTS:
            k = NAMES.index(output)
            true = quantiles(reference[..., k], LEVELS, weights).values
            # a chain's kept states, after those that the reference would have dropped
            of_copies = np.array(
                [
                    np.quantile(one[kept][..., k], LEVELS)
                    for one, kept in zip(values, arrays["chains"], strict=True)
                ]
            )
            mean, sd = of_copies.mean(axis=0), of_copies.std(axis=0, ddof=1)
            ratio = np.abs(mean - true) / (2.0 * sd)
            rows = (true, mean, sd)
            print(
                f"| {output} | "
                + " | ".join(" / ".join(f"{v:.3g}" for v in row) for row in rows)
                + f" | {' / '.join(f'{v:.1f}' for v in ratio)} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "summary"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("units", nargs="*", default=list(UNITS), help=", ".join(UNITS))
    parser.add_argument("--sensitivity", type=Path, default=Path("fusion-sensitivity"))
    asked = parser.parse_args()
    if asked.what == "summary":
        summary(asked.folder, asked.sensitivity)
        return
    keep_compiled()
    for name in asked.units:
        path = asked.folder / f"{name}.npz"
        if not path.exists():
            run(path, VARIANTS[UNITS[name]])


if __name__ == "__main__":
    main()
