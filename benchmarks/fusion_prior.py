"""What the constraints leave of the prior, and what prior and constraints say of fluxes before any observation.

`python -m benchmarks.fusion_prior [--draws N]` with the test data (TALIK_SHARED): log-uniform draws, weighted with
the Gaussians of the prior, in the climate of the test vector (62 degrees north, two years in turn for five, no
disturbance). Quantiles of fewer than 100 draws are not printed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from talik.fusion.constraints import Margins, margins
from talik.fusion.dalec import simulate
from talik.fusion.drivers import Drivers
from talik.fusion.observations import Observations
from talik.fusion.prior import draw_prior, log_priors
from talik.fusion.switches import Switches

STEPS, BATCH = 60, 4000
SETS = {
    "S": Switches(balance=False, steady="none"),
    "S, D1, D4": Switches(balance=False, steady="none"),
    "and D2": Switches(steady="none"),
    "and D2, D3 difference": Switches(),
    "and D2, D3 absolute": Switches(steady="absolute"),
    "and D2, D3 ratio2022": Switches(steady="ratio2022"),
    "J": Switches(constraints="jpl"),
    "B15": Switches(constraints="b15"),
}
QUANTILES, FEWEST = (0.05, 0.5, 0.95), 100


def climate(shared: Path) -> Drivers:
    """The drivers of the test vector, repeated; batch (1, 1)."""
    rows = pd.read_csv(shared / "spec" / "fusion_testvector.csv", dtype={"value": str})
    rows = rows[(rows["case"] == "ALL") & (rows["group"] == "driver")].astype({"value": float})
    months = np.arange(STEPS) % 24
    given = {
        name: of.sort_values("step")["value"].to_numpy()[months, None, None]
        for name, of in rows.groupby("name")
    }
    none = np.zeros((STEPS, 1, 1))
    return Drivers(**given, burned=none, loss=none, latitude=np.full((1, 1), 62.0), fires=False, losses=False)


def kept(found: Margins, name: str) -> np.ndarray:
    """Which draws (draw,) keep a set; the first one asks only for what concerns parameters alone."""
    ok = (np.asarray(found.static) <= 0).all(axis=0)[0]
    return ok if name == "S" else ok & (np.asarray(found.dynamic) <= 0).all(axis=0)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=400_000)
    draws = parser.parse_args().draws
    drivers, rng = climate(Path(os.environ["TALIK_SHARED"])), np.random.default_rng(0)
    days = np.asarray(drivers.dt)[:, 0, 0]
    run = jax.jit(simulate, static_argnames="switches")
    judge = jax.jit(margins, static_argnames="switches")
    weight, flux, mask = [], [], {name: [] for name in SETS}
    for _ in range(draws // BATCH):
        theta = draw_prior(rng, BATCH, Switches())[:, None]
        trajectory = run(theta, drivers, Switches())
        prior = sum(np.asarray(x)[0] for x in log_priors(theta, Switches(), Observations()).values())
        weight.append(np.exp(prior))
        annual = [days @ np.asarray(x)[:, 0] / (STEPS / 12) for x in trajectory.fluxes[:1]]
        annual += [
            days @ np.asarray(getattr(trajectory.fluxes, n))[:, 0] / (STEPS / 12) for n in ("nee", "rh")
        ]
        dead = np.asarray(trajectory.pools)[:-1, 4:, 0].sum(axis=1).mean(axis=0)
        flux.append([*annual, dead / annual[2]])
        for name, switches in SETS.items():
            mask[name].append(kept(judge(theta, trajectory, drivers, switches), name))
    w, values = np.concatenate(weight), np.concatenate(flux, axis=1)
    print("| constraints | share of the prior | GPP | NEE | Rh | MRT, years |")
    for name, parts in {"none": [np.isfinite(w)], **mask}.items():
        ok = np.concatenate(parts) & np.isfinite(values).all(axis=0)
        cells = []
        for x in values[:, ok] if ok.sum() >= FEWEST else ():
            order = np.argsort(x)
            level = np.cumsum(w[ok][order]) / w[ok].sum()
            cells.append(" / ".join(f"{x[order][np.searchsorted(level, q)]:.0f}" for q in QUANTILES))
        print(
            f"| {name} | {w[ok].sum() / w.sum():.2g} ({ok.sum()} draws) | {' | '.join(cells or ['-'] * 4)} |"
        )


if __name__ == "__main__":
    main()
