"""What each choice about the posterior does to one twin: constraints, prior of respiration, errors of NBE, burnt soil.

`python -m benchmarks.fusion_sensitivity run FOLDER SAMPLERS [VARIANT ...]` makes what is not there yet; SAMPLERS is the
folder of `benchmarks.fusion_samplers`, whose posterior `hmc-5` of the same twin gives the starts. Then
`... summary FOLDER` prints the table of docs/science/fusion-samplers.md. The data are the same in every variant: those
of the twin, with the error model of NBE that the variant assumes.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.fusion_samplers import BASE, Clock, load, save, tuned_draws
from talik.convergence import bulk_ess, kish_share, pareto_k, rhat
from talik.fusion.agreement import quantiles
from talik.fusion.hmc import HmcSettings
from talik.fusion.observations import Observations, nbe_stream
from talik.fusion.posterior import block_data, smoothed_target
from talik.fusion.posterior_draws import NAMES, examine, together
from talik.fusion.switches import REPRODUCE, Switches
from talik.fusion.twin import Noise, Twin, reference_twin
from talik.jax64 import keep_compiled

ROUNDS = 4
SETTINGS = HmcSettings(draws=500)
VARIANTS: dict[str, Switches] = {
    "base: D1-D3, Ra:GPP 0.54, plain NBE, profile burns": BASE,
    "D3 off": replace(BASE, steady="none"),
    "D2 and D3 off": replace(BASE, steady="none", balance=False),
    "set J": replace(BASE, constraints="jpl"),
    "set B15": replace(BASE, constraints="b15"),
    "Q1: Ra:GPP 0.46": replace(BASE, ra_gpp=(0.46, 0.12)),
    "Q2: NBE two-scale": replace(BASE, nbe="two-scale"),
    "Q2: NBE reference": replace(BASE, nbe="reference"),
    "Q12: surface burns": replace(BASE, som_burnt="surface"),
    "best": replace(BASE, nbe="two-scale", som_burnt="surface"),
    "reproduce": REPRODUCE,
}
"""Choices that differ from those of the base."""


def file_name(variant: str) -> str:
    """A name without signs that a file system does not like."""
    return "".join(c if c.isalnum() else "-" for c in variant)


def with_nbe(twin: Twin, switches: Switches) -> Observations:
    """The observations of the twin under another error model of NBE."""
    held = twin.observations.nbe
    assert held is not None
    months = len(twin.axis)
    value = np.asarray(held.value).reshape(-1, 1)[held.before : held.before + months]
    made = nbe_stream(
        value, np.full(value.shape, Noise().nbe), twin.axis.years, twin.axis.months, switches.nbe
    )
    return replace(twin.observations, nbe=made)


def run(path: Path, switches: Switches, starts: np.ndarray, factor: np.ndarray) -> None:
    """Chains from draws of the base, with a warm-up of their own.

    Errors of NBE are data: its switch stays at that of the base, so that variants share what is compiled.
    """
    twin = reference_twin(5, BASE)
    data = block_data(twin.drivers, with_nbe(twin, switches))
    compiled = replace(switches, nbe=BASE.nbe)
    target = smoothed_target(compiled)
    clock = Clock()
    draws = tuned_draws(target, data, starts, factor, SETTINGS, ROUNDS)
    seen = together([examine(draws.u, data, twin.axis, compiled)])
    running, compiling = clock.seconds()
    told = {
        "cpu": running,
        "compiling": compiling,
        "gradients": float(draws.gradients[0]),
        "failed": float(draws.divergent[0]),
    }
    truth = examine(
        np.asarray(twin.theta).transpose(1, 2, 0)[:, None], data, twin.axis, compiled, coordinates=False
    )
    save(
        path,
        told,
        values=seen.values.astype(np.float32),
        log_weights=np.where(seen.passes, -seen.softness, -np.inf).astype(np.float32),
        truth=truth.values[0, 0, 0],
    )


def summary(folder: Path) -> None:
    """A row for each variant: limits of outputs under the hard constraints, and whether the draws can be trusted."""
    there = {name: held for name in VARIANTS if (held := load(folder, file_name(name))) is not None}
    print(f"{len(there)} of {len(VARIANTS)} variants done\n")
    shown = ("nee", "gpp", "rh", "mrt")
    print(f"| variant | {' | '.join(shown)} | R-hat | ESS | failed, % | kept | Kish | k |")
    for number, (name, (told, arrays)) in enumerate(there.items()):
        values, weights = arrays["values"][0].astype(float), arrays["log_weights"][0].astype(float)
        if number == 0:
            truth = arrays["truth"][[NAMES.index(v) for v in shown]]
            print(f"| truth | {' | '.join(f'{v:.0f}' for v in truth)} |")
        cells = []
        for output in shown:
            q = quantiles(values[..., NAMES.index(output)], (0.025, 0.5, 0.975), weights).values
            cells.append(" / ".join(f"{v:.0f}" for v in q))
        flat = weights.ravel()
        print(
            f"| {name} | {' | '.join(cells)} | {np.nanmax(rhat(values)):.3f} | {np.nanmin(bulk_ess(values)):.0f} | "
            f"{100 * told['failed']:.2f} | {np.isfinite(flat).mean():.3f} | {float(kish_share(flat)):.3f} | "
            f"{float(pareto_k(flat[np.isfinite(flat)])):.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "summary"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("samplers", type=Path, nargs="?", help="folder of benchmarks.fusion_samplers")
    parser.add_argument("variants", nargs="*", default=list(VARIANTS))
    asked = parser.parse_args()
    if asked.what == "summary":
        summary(asked.folder)
        return
    base = load(asked.samplers, "hmc-5") if asked.samplers else None
    if base is None:
        sys.exit("the folder of benchmarks.fusion_samplers must hold hmc-5; run that first")
    keep_compiled()
    u = base[1]["u"]
    spread = np.cov(np.concatenate(u).T)
    factor = np.linalg.cholesky(spread + 0.1 * np.diag(np.diag(spread)))
    for name in asked.variants:
        path = asked.folder / f"{file_name(name)}.npz"
        if not path.exists():
            run(path, VARIANTS[name], np.swapaxes(u[:1], 1, 2), factor[None])


if __name__ == "__main__":
    main()
