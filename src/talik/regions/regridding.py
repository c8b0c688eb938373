"""First-order conservative regridding of labelled data, with the share of each cell that had data."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.errors import GridError
from talik.regions.axes import conform, grid_of
from talik.regions.ellipsoid import Array
from talik.regions.grid import Grid
from talik.regions.overlaps import Overlap, overlap

VALID = "valid_fraction"


def regrid(
    data: xr.DataArray,
    dst: Grid,
    *,
    src: Grid | None = None,
    valid: xr.DataArray | None = None,
    weights: Overlap | None = None,
    min_valid: float = 0.0,
) -> xr.Dataset:
    """Area means of ``data`` on ``dst``, beside the share of each target cell's area that had data.

    data : intensive quantity (per m2, or a fraction); dimensions before the two of the grid are kept, as are name
        and attributes. NaN means no data, never zero.
    src : the grid of ``data``; read from its coordinates by default.
    valid : share of each source cell that the value stands for, 0..1 (by default 1 where ``data`` is not NaN). Give
        the ``valid_fraction`` of an earlier call here and mass is conserved through any chain of grids:
        sum(value x valid_fraction x cell area) over the target equals that over the source wherever the target covers
        the source.
    weights : result of :func:`overlap` for (src, dst), to be made once and used for many variables.
    min_valid : target cells with a smaller share become NaN (share kept as found). The default 0 keeps every cell
        that any data touches, which is what conserves mass.

    Returns a Dataset with the variable (its name, or ``"data"``) and ``valid_fraction``; float64 whatever went in,
    because sums of float32 over a million cells are not conservative. Dask arrays stay lazy and need one chunk along
    the two grid dimensions. GridError if coordinates, ``valid`` or ``weights`` do not fit.
    """
    if not 0.0 <= min_valid <= 1.0:
        raise GridError(f"regrid: min_valid must lie in 0..1; found {min_valid}.")
    src = grid_of(data) if src is None else src
    if weights is None:
        weights = overlap(src, dst)
    elif weights.src != src or weights.dst != dst:
        raise GridError(f"regrid: weights map {weights.src} to {weights.dst}, but asked for {src} to {dst}.")
    data = conform(data, src)
    share = data.notnull() if valid is None else conform(valid, src).where(data.notnull(), 0.0)
    mean, seen = xr.apply_ufunc(
        _means,
        data,
        share,
        kwargs={
            "weights": weights,
            "area": np.broadcast_to(dst.row_area_m2[:, None], dst.shape),
            "least": min_valid,
        },
        input_core_dims=[list(src.dims)] * 2,
        output_core_dims=[[f"_{d}" for d in dst.dims]] * 2,
        dask="parallelized",
        output_dtypes=[np.float64, np.float64],
        dask_gufunc_kwargs={"output_sizes": {f"_{d}": n for d, n in dst.sizes.items()}},
    )
    name = VALID if data.name is None else str(data.name)
    name = "data" if name == VALID else name
    out = xr.Dataset({name: mean.assign_attrs(data.attrs), VALID: seen})
    out = out.rename({f"_{d}": d for d in dst.dims}).assign_coords(dst.coords())
    out[VALID].attrs = {"units": "1", "long_name": "share of the cell's area that had data"}
    return out


def _means(
    values: Array, share: Array, *, weights: Overlap, area: Array, least: float
) -> tuple[Array, Array]:
    w = share.astype(np.float64)
    x = np.where(w > 0.0, values, 0.0).astype(np.float64)
    w, x = np.broadcast_arrays(w, x)
    held = weights.transfer(w)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = weights.transfer(w * x) / held
    seen = held / area
    keep = (held > 0.0) & (seen >= least)
    return np.where(keep, mean, np.nan), np.minimum(seen, 1.0)
