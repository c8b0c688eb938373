"""Coverage of conformal intervals at left-out sites, by biome: `python -m benchmarks.upscaling_coverage`, minutes.

ABCflux v2 with predictors from 0.5 degree grids; sites left out in 20 groups, intervals of each site calibrated on the
others; point intervals (forest) and quantile intervals (quantile-forest).
"""

from __future__ import annotations

import numpy as np

from benchmarks.upscaling import CH4_GRIDS, shared, v2_table
from talik.upscaling.evaluate import evaluate
from talik.upscaling.folds import leave_groups_out
from talik.upscaling.inputs import read_training
from talik.upscaling.learners import make_learner
from talik.upscaling.training import Training


def climate_table(flux: str) -> Training:
    """ABCflux v2 with month and three climate predictors: the most sites."""
    file, _ = CH4_GRIDS[0]
    path = shared() / "abcflux-v2-apr2024" / "site_months.parquet"
    return read_training(path, flux=flux, grids=[f"{shared() / file}:tas,pr,sunshine"], located=True)


def main() -> None:
    for flux in ("nee", "gpp", "reco", "ch4"):
        # vegetation and permafrost matter for CH4 but are missing at half of the other fluxes' sites
        training = v2_table("ch4") if flux == "ch4" else climate_table(flux)
        dealt = np.random.default_rng(448).permutation(training.n_sites) % 20
        folds = leave_groups_out(dealt[training.data.groups], "groups")
        for name in ("forest", "quantile-forest"):
            learner = make_learner(name, {"trees": 200})
            coverage = evaluate(training, learner, folds, threads=2)[0]["coverage"]
            for level in ("0.8", "0.95"):
                told = ", ".join(
                    f"{b} {100 * c['sites']:.1f} % of site means, {100 * c['rows']:.1f} % of {c['n_rows']} rows at "
                    f"{c['n_sites']} sites, width {c['width']:.4g}"
                    for b, c in coverage[level].items()
                    if b in ("Boreal", "Tundra")
                )
                print(f"{flux} {name} {100 * float(level):g} %: {told}", flush=True)


if __name__ == "__main__":
    main()
