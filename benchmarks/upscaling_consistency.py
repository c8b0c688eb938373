"""Is NEE better learnt directly or as Reco - GPP? `python -m benchmarks.upscaling_consistency`, a minute.

Left-out predictions (fast leave-one-site-out of the reference forest) of the rows with all three fluxes, as they are,
as the difference, and moved to consistency by their held-out error covariance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.upscaling import shared
from talik.upscaling.consistency import error_covariance, joint_errors, make_consistent
from talik.upscaling.fast_loso import fast_leave_one_site_out
from talik.upscaling.forest import Forest
from talik.upscaling.inputs import read_training

FLUXES = ("nee", "gpp", "reco")


def held_out(flux: str) -> pd.DataFrame:
    training = read_training(shared() / "abcflux-v1-ml" / "wide.parquet", flux=flux, filters=["all-fluxes"])
    predicted = fast_leave_one_site_out(Forest(mtry=2), training.data, 448, threads=2)
    rows = training.rows[["site_id", "year", "month", "vegetation_type"]]
    return rows.assign(observed=training.data.y, predicted=predicted, biome="all")


def main() -> None:
    tables = {flux: held_out(flux) for flux in FLUXES}
    observed = np.column_stack([tables[f].observed for f in FLUXES])
    predicted = np.column_stack([tables[f].predicted for f in FLUXES])
    errors = joint_errors(*tables.values())
    covariance = error_covariance(errors, by=("month",))
    moved = np.empty_like(predicted)
    for month in np.unique(tables["nee"].month):
        rows = (tables["nee"].month == month).to_numpy()
        moved[rows] = make_consistent(predicted[rows], covariance.of((month,)))
    closed = np.abs(observed[:, 0] - observed[:, 2] + observed[:, 1]) < 1
    rmse = lambda p, o: np.sqrt(np.mean((p - o) ** 2))  # noqa: E731
    print(
        f"{len(observed)} rows, {closed.mean():.0%} of which close within 1 g; RMSE as learnt, made consistent:"
    )
    for k, flux in enumerate(FLUXES):
        print(
            f"  {flux}: {rmse(predicted[:, k], observed[:, k]):.2f}, {rmse(moved[:, k], observed[:, k]):.2f}"
        )
    print(f"  nee as Reco - GPP: {rmse(predicted[:, 2] - predicted[:, 1], observed[:, 0]):.2f}")


if __name__ == "__main__":
    main()
