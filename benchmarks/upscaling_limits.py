"""How much better could any learner be? `python -m benchmarks.upscaling_limits`, a minute.

For each v1 table: what the held-out errors of the reference forest are made of, and how far apart sites are that no
function of the predictors can tell apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.upscaling import v1_table
from talik.upscaling.fast_loso import fast_leave_one_site_out
from talik.upscaling.forest import Forest


def twins(x: np.ndarray, y: np.ndarray, sites: np.ndarray) -> tuple[int, int, float]:
    """Number of predictor values shared by several sites, of rows there, and SD of the response within them."""
    place = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    table = (
        pd.DataFrame({"place": place, "site": sites, "y": y})
        .groupby(["place", "site"])
        .y.mean()
        .reset_index()
    )
    count = table.groupby("place").y.transform("size")
    table = table[count > 1]
    if not len(table):
        return 0, 0, float("nan")
    within = table.y - table.groupby("place").y.transform("mean")
    n_places = table.place.nunique()
    return n_places, len(table), float(np.sqrt((within**2).sum() / (len(table) - n_places)))


def main() -> None:
    for flux in ("nee", "gpp", "reco"):
        training = v1_table(flux, located=False)
        data = training.data
        predicted = fast_leave_one_site_out(Forest(mtry=6 if flux == "nee" else None), data, 448, threads=2)
        error = predicted - data.y
        by_site = (
            pd.Series(error**2).groupby(data.groups).sum().sort_values(ascending=False) / (error**2).sum()
        )
        offset = pd.Series(error).groupby(data.groups).transform("mean").to_numpy()
        worst = by_site.index[0]
        others = data.groups != worst
        places, rows, sd = twins(data.x, data.y, data.groups)
        print(
            f"{flux}: RMSE {np.sqrt(np.mean(error**2)):.1f}; without site {training.sites[worst]} "
            f"{np.sqrt(np.mean(error[others] ** 2)):.1f} ({100 * by_site.iloc[0]:.0f} % of the squared error in "
            f"{(~others).sum()} rows; the ten worst sites {100 * by_site.iloc[:10].sum():.0f} %); "
            f"with every site's mean error known {np.sqrt(np.mean((error - offset) ** 2)):.1f}; "
            f"{places} months in which sites share all predictors ({rows} site-months): SD between them {sd:.1f}"
        )


if __name__ == "__main__":
    main()
