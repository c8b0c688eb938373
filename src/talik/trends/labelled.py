"""Trends of labelled arrays: names, units and metadata around the compiled methods; lazy in, lazy out."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import InputError
from talik.provenance import add_history, history_line
from talik.trends.annual import on_every_year
from talik.trends.method import Float64, Method, run_array

Data: TypeAlias = xr.DataArray | npt.NDArray[Any]
_SLOPES = ("slope", "low", "high")
_MEANING = {
    "slope": "trend (Theil-Sen)",
    "intercept": "value of the trend line at time index 0 (first year: 1) of the last prewhitened series",
    "low": "lower confidence limit of the trend",
    "high": "upper confidence limit of the trend",
    "tau": "Kendall's tau-b of the tested series",
    "p": "two-sided p-value of the Mann-Kendall test",
    "nruns": "number of Theil-Sen fits until convergence",
    "autocor": "lag-1 autocorrelation used for prewhitening, or found",
    "converged": "whether the iteration met its stop rule",
    "valid_frac": "values in the tested series over length of the series",
    "n_valid": "number of values",
    "trend_total": "trend over the whole series (slope times number of years)",
    "s": "Mann-Kendall S",
    "var_s": "variance of S, ties counted",
    "z": "standard normal deviate of S, with continuity correction",
}
_TREND = (
    "slope", "intercept", "low", "high", "tau", "p", "nruns", "autocor", "converged", "n_valid", "valid_frac",
    "trend_total",
)  # fmt: skip


def trend(
    data: Data,
    method: str = "zhang",
    *,
    dim: str = "time",
    preserve: bool | None = None,
    confidence: float = 0.95,
    threads: int = 1,
) -> xr.Dataset:
    """Trend of every series along `dim`: slope per year, its limits, Mann-Kendall significance.

    data : a DataArray with annual steps along `dim` (dates or whole years; years left out become missing values, their
    number is attribute ``years_inserted``), or an array (..., time) of consecutive steps. NaN and infinities are
    missing. Any units and sign; both are kept. Other dimensions, such as member, stay. method : ``none``, ``zhang``,
    ``yue-pilon`` or ``conservative`` (docs/science/trends.md). preserve : re-inflation by 1/(1 - c), for zhang (default
    off) and yue-pilon (on). confidence : level of ``low`` and ``high``. threads : for data in memory; changes no byte.

    Returns a Dataset without `dim`: slope, low, high (units of the data per year), intercept (at time index 0, where
    the first year is 1; draw a line with :func:`line`), tau, p, nruns, autocor, converged (1, 0, -1 undefined),
    n_valid, valid_frac, trend_total (slope times number of years). NaN where undefined: at most 3 values to test; for
    zhang and yue-pilon also a constant series. Dask data stay lazy and are rechunked to one chunk along `dim`.

    InputError: `dim` is not annual, holds a year twice, or data are not numbers. ConfigError: settings.
    Source: Zhang et al. (2000), Wang and Swail (2001) as in zyp 0.11; Sen (1968); Kendall (1975).
    """
    chosen = Method.of(method, preserve, confidence)
    return _run(data, dim, chosen, threads, _TREND)


def theil_sen(data: Data, *, dim: str = "time", confidence: float = 0.95, threads: int = 1) -> xr.Dataset:
    """Theil-Sen slope, intercept (median of y - slope t, t = 1 in the first year) and limits of every series.

    As :func:`trend` with method ``none``. Source: Sen (1968).
    """
    names = ("slope", "intercept", "low", "high", "n_valid")
    return _run(data, dim, Method.of("none", None, confidence), threads, names)


def mann_kendall(data: Data, *, dim: str = "time", threads: int = 1) -> xr.Dataset:
    """Mann-Kendall test of every series as it is: s, var_s, z, tau (tau-b), p, n_valid.

    Normal approximation with continuity correction and the variance for ties, for any length above 3. Source: Kendall
    (1975).
    """
    return _run(data, dim, Method.of("none"), threads, ("s", "var_s", "z", "tau", "p", "n_valid"))


def line(data: xr.DataArray, slope: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """The trend line to draw through `data`: slope times time index plus the median of what it leaves.

    ``intercept`` belongs to the prewhitened series and its shifted time, not to the data; this does not use it.
    """
    full, years = on_every_year(data, dim)
    t = xr.DataArray(np.arange(1.0, len(years) + 1), dims=dim, coords={dim: full[dim]})
    if full.chunks is not None:
        full = full.chunk({dim: -1})
    level = _quantiles(full - slope * t, dim, (0.5,)).isel(quantile=0)
    return (slope * t + level).assign_attrs(data.attrs).rename(data.name)


def member_summary(slopes: xr.DataArray, *, dim: str = "member") -> xr.Dataset:
    """What the members say of a trend: median, 5th and 95th percentile (a 90 % range), share of slopes below zero.

    slopes : trend of each member along `dim`; undefined (NaN) members are left out and counted.
    """
    if dim not in slopes.dims:
        raise InputError(
            f"{slopes.name!r} has dimensions {', '.join(map(str, slopes.dims)) or 'none'}; expected one named {dim!r}."
        )
    if slopes.chunks is not None:
        slopes = slopes.chunk({dim: -1})
    quantiles = _quantiles(slopes, dim, (0.05, 0.5, 0.95))
    count = slopes.notnull().sum(dim)
    units = {"units": slopes.attrs["units"]} if "units" in slopes.attrs else {}
    return xr.Dataset(
        {
            "median": quantiles.isel(quantile=1).assign_attrs(units, long_name="median of members"),
            "p05": quantiles.isel(quantile=0).assign_attrs(units, long_name="5th percentile"),
            "p95": quantiles.isel(quantile=2).assign_attrs(units, long_name="95th percentile"),
            "probability_negative": ((slopes < 0).sum(dim) / count.where(count > 0)).assign_attrs(
                units="1", long_name="share of members with a negative trend"
            ),
            "n_members": count.assign_attrs(units="1", long_name="members with a defined trend"),
        }
    )


def _quantiles(da: xr.DataArray, dim: str, levels: tuple[float, ...]) -> xr.DataArray:
    """Quantiles along `dim` without NaN (linear, as numpy), on dimension quantile; NaN where there is no value."""
    out: xr.DataArray = xr.apply_ufunc(
        _sorted_quantiles,
        da,
        input_core_dims=[[dim]],
        output_core_dims=[["quantile"]],
        kwargs={"levels": levels},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"quantile": len(levels)}},
    )
    return out.drop_attrs(deep=False)


def _sorted_quantiles(values: npt.NDArray[np.floating], *, levels: tuple[float, ...]) -> Float64:
    ordered = np.sort(np.asarray(values, np.float64), axis=-1)  # NaN comes last
    last = np.maximum((~np.isnan(ordered)).sum(axis=-1, keepdims=True) - 1, 0)
    place = last * np.asarray(levels)
    below = np.floor(place).astype(np.intp)
    low = np.take_along_axis(ordered, below, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(below + 1, last), axis=-1)
    found: Float64 = low + (high - low) * (place - below)
    return found


def _run(data: Data, dim: str, method: Method, threads: int, names: tuple[str, ...]) -> xr.Dataset:
    da, per, inserted = _prepared(data, dim)
    n = da.sizes[dim]
    columns = xr.apply_ufunc(
        _columns,
        da,
        input_core_dims=[[dim]],
        output_core_dims=[["_column"]],
        kwargs={"method": method, "threads": threads, "names": names},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"_column": len(names)}},
    )
    units = data.attrs.get("units") if isinstance(data, xr.DataArray) else None
    out = xr.Dataset({name: _column(columns, k, name, units, per, da) for k, name in enumerate(names)})
    out.attrs = {
        "method": method.told,
        "method_name": method.name,
        "series_length": n,
        "years_inserted": inserted,
    }
    if any(name in names for name in _SLOPES):
        out.attrs["confidence"] = method.confidence
    if isinstance(data, xr.DataArray):
        out.attrs["first_year"], out.attrs["last_year"] = int(da[dim][0]), int(da[dim][-1])
    return add_history(out, history_line(f"trend method={method.name}"))


def _prepared(data: Data, dim: str) -> tuple[xr.DataArray, str, int]:
    """Data on every step, the unit of a step, and how many steps were put in."""
    if isinstance(data, xr.DataArray):
        da, years = on_every_year(data, dim)
        inserted = len(years) - data.sizes[dim]
        per = "year-1"
    else:
        array = np.asarray(data)
        if array.ndim == 0:
            raise InputError("a trend needs an array (..., time); found a single number.")
        names = [f"dim_{k}" for k in range(array.ndim - 1)]
        da, per, inserted = xr.DataArray(array, dims=[*names, dim]), "", 0
    if da.dtype.kind not in "fiu":
        raise InputError(f"{da.name!r} holds {da.dtype}; expected numbers.")
    if da.chunks is not None and len(da.chunksizes[dim]) > 1:
        da = da.chunk({dim: -1})
    return da, per, inserted


def _columns(y: npt.NDArray[Any], *, method: Method, threads: int, names: tuple[str, ...]) -> Float64:
    """The named results of y (..., time), on a last axis."""
    from talik.trends.prewhitening import COLUMNS

    found = run_array(y, method, threads)
    made = {name: found[..., k] for k, name in enumerate(COLUMNS)}
    made["trend_total"] = made["slope"] * y.shape[-1]
    s = made["s"]
    with np.errstate(invalid="ignore", divide="ignore"):
        made["z"] = np.where(s == 0.0, 0.0, (s - np.sign(s)) / np.sqrt(made["var_s"]))
    return np.stack([made[name] for name in names], axis=-1)


def _column(
    columns: xr.DataArray, k: int, name: str, units: str | None, per: str, data: xr.DataArray
) -> xr.DataArray:
    one = columns.isel(_column=k).drop_attrs(deep=False)
    about = (
        f" of {data.attrs.get('long_name', data.name)}"
        if data.name is not None or "long_name" in data.attrs
        else ""
    )
    attrs: dict[str, Any] = {
        "long_name": _MEANING[name] + (about if name in ("slope", "trend_total") else "")
    }
    if name == "n_valid":
        return one.astype(np.int32).assign_attrs(attrs, units="1").rename(name)
    if name == "converged":
        flags = {
            "flag_values": np.array([-1, 0, 1], np.int8),
            "flag_meanings": "undefined not_converged converged",
        }
        return one.fillna(-1.0).astype(np.int8).assign_attrs(attrs, **flags).rename(name)
    if name in _SLOPES:
        if units:
            attrs["units"] = f"{units} {per}".strip()
        attrs |= {key: data.attrs[key] for key in ("species", "positive", "area_basis") if key in data.attrs}
    elif name in ("intercept", "trend_total"):
        if units:
            attrs["units"] = units
    else:
        attrs["units"] = "1"
    return one.assign_attrs(attrs).rename(name)
