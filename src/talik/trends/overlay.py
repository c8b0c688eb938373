"""What drives a trend of NEE: classes by the signs of three trends, bins of trend maps, and the overlap with greening.

NEE is positive to the atmosphere (a falling NEE is a sink that grows); GPP and Reco are magnitudes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import GridError
from talik.trends.field import ALPHA, aligned

CLASSES = (
    "no_trend",
    "sink_up_gpp_up_and_reco_down",
    "sink_up_gpp_driven",
    "sink_up_reco_driven",
    "source_up_reco_up_and_gpp_down",
    "source_up_reco_driven",
    "source_up_gpp_driven",
    "inconsistent",
)
"""Meaning of the class numbers 0..7; 0 is a slope that is not there."""
TREND_BINS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Edges of the bins of an NEE trend map, g C m-2 yr-1 per year."""
MEAN_BINS = (-50.0, -30.0, 0.0, 30.0, 50.0)
"""Edges of the bins of a mean NEE map, g C m-2 yr-1."""


def overlay_classes(nee: xr.DataArray, gpp: xr.DataArray, reco: xr.DataArray) -> xr.DataArray:
    """Class of each cell by the signs of its three slopes, significant or not, as integers 0..7 (see `CLASSES`).

    nee, gpp, reco : slopes on the same coordinates, NEE positive upward, GPP and Reco as magnitudes; lazy if they are.
    An NEE slope of exactly 0, or signs that cannot make the NEE slope, are ``inconsistent``: the three models are
    independent. A missing slope gives 0. Source: Virkkala et al. 2025.
    GridError: other coordinates.
    """
    try:
        xr.align(nee, gpp, reco, join="exact", copy=False)
    except ValueError as err:
        raise GridError(f"the three slopes do not stand on the same coordinates ({err}).") from err
    out: xr.DataArray = xr.apply_ufunc(_classes, nee, gpp, reco, dask="parallelized", output_dtypes=[np.int8])
    return out.rename("overlay_class").assign_attrs(
        long_name="drivers of the trend of NEE",
        flag_values=np.arange(len(CLASSES), dtype=np.int8),
        flag_meanings=" ".join(CLASSES),
        units="1",
    )


def _classes(
    nee: npt.NDArray[np.floating], gpp: npt.NDArray[np.floating], reco: npt.NDArray[np.floating]
) -> npt.NDArray[np.int8]:
    with np.errstate(invalid="ignore"):
        sink, source, g_up, r_up = nee < 0, nee > 0, gpp > 0, reco > 0
    rules = (
        np.isnan(nee) | np.isnan(gpp) | np.isnan(reco),
        sink & g_up & ~r_up,
        sink & g_up & r_up,
        sink & ~g_up & ~r_up,
        source & r_up & ~g_up,
        source & r_up & g_up,
        source & ~r_up & ~g_up,
    )
    return np.select(rules, range(len(rules)), len(rules)).astype(np.int8)


def class_shares(
    classes: xr.DataArray | npt.NDArray[np.integer],
    area: xr.DataArray | npt.NDArray[np.floating] | float = 1.0,
) -> dict[str, float]:
    """Share of area of each class but ``no_trend``; shares of the area that has a class add up to 1 (NaN: none has)."""
    number, weight = aligned(classes, area)
    weight = np.nan_to_num(weight)
    total = float(weight[number > 0].sum())
    return {
        name: float(weight[number == k].sum()) / total if total > 0.0 else float("nan")
        for k, name in enumerate(CLASSES)
        if k > 0
    }


def map_bins(values: npt.NDArray[np.floating], edges: tuple[float, ...] = TREND_BINS) -> npt.NDArray[np.int8]:
    """Bin 0..len(edges) of each value (a value on an edge belongs to the upper bin); -1 for NaN. Any shape."""
    numbers = np.digitize(values, edges).astype(np.int8)
    return np.where(np.isnan(values), np.int8(-1), numbers)


def greening_overlap(
    ndvi_slope: xr.DataArray,
    ndvi_p: xr.DataArray,
    nee_slope: xr.DataArray,
    nee_p: xr.DataArray,
    nee_jja_slope: xr.DataArray,
    nee_jja_p: xr.DataArray,
    area: xr.DataArray | float = 1.0,
    alpha: float = ALPHA,
) -> dict[str, float]:
    """How much of the domain greens, and where it does, how much takes up significantly more CO2.

    ndvi : trend of summer (June to August) mean NDVI; greening is slope > 0 with p < alpha. nee, nee_jja : trends of
    annual and summer NEE, positive upward; more uptake is slope < 0 with p < alpha.
    Returns shares of area: ``greening`` of the cells with an NDVI trend; ``annual_uptake`` and ``summer_uptake`` of the
    greening cells that have the NEE trend in question. NaN where there is nothing to share.
    Source: Virkkala et al. 2025.
    """
    given = (ndvi_slope, ndvi_p, nee_slope, nee_p, nee_jja_slope, nee_jja_p, area)
    n_slope, n_p, a_slope, a_p, j_slope, j_p, weight = aligned(*given)
    weight = np.nan_to_num(weight)

    def share(of: npt.NDArray[np.bool_], within: npt.NDArray[np.bool_]) -> float:
        total = float(weight[within].sum())
        return float(weight[of & within].sum()) / total if total > 0.0 else float("nan")

    with np.errstate(invalid="ignore"):
        greening = (n_slope > 0) & (n_p < alpha)
        return {
            "greening": share(greening, ~np.isnan(n_slope) & ~np.isnan(n_p)),
            "annual_uptake": share((a_slope < 0) & (a_p < alpha), greening & ~np.isnan(a_slope)),
            "summer_uptake": share((j_slope < 0) & (j_p < alpha), greening & ~np.isnan(j_slope)),
        }
