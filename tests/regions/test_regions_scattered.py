"""Cells on one grid: every value at its place, no value made up."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.regions.scattered import on_axes


def cells(chosen: np.ndarray, chunks: dict[str, int] | None = None) -> xr.Dataset:
    """Some cells of a grid of 4 x 5 in any order, their positions off by what float32 keeps of them."""
    lat, lon = (
        a.ravel() for a in np.meshgrid(60.25 + 0.5 * np.arange(4), 10.2 + 0.1 * np.arange(5), indexing="ij")
    )
    ds = xr.Dataset(
        {
            "a": (("time", "cell"), np.arange(3)[:, None] + 10.0 * chosen, {"units": "kg"}),
            "b": (("time", "depth", "cell"), np.ones((3, 2, 1)) * chosen),
            "c": ("cell", 1.0 * chosen),
            "n": ("time", np.arange(3)),
        },
        {
            "lat": ("cell", np.float32(lat[chosen]).astype(float), {"standard_name": "latitude"}),
            "lon": ("cell", np.float32(lon[chosen]).astype(float), {"standard_name": "longitude"}),
            "depth": [0.1, 0.2],
        },
    )
    return ds if chunks is None else ds.chunk(chunks)


def test_values_stand_at_their_cells_and_the_rest_is_missing() -> None:
    chosen = np.array([19, 0, 7, 14, 3, 11, 5, 16, 2])
    for chunks in (None, {"cell": 4}):
        placed = on_axes(cells(chosen, chunks))
        assert placed["a"].dims == ("time", "lat", "lon")
        assert placed["b"].dims == ("time", "depth", "lat", "lon")
        want = np.full(20, np.nan)
        want[chosen] = chosen
        np.testing.assert_array_equal(placed["c"].values.ravel(), want)
        np.testing.assert_array_equal(placed["a"].values[2].ravel(), 2 + 10 * want)
        np.testing.assert_array_equal(placed["b"].values[1, 1].ravel(), want)
        assert placed["n"].dims == ("time",)
        assert placed["a"].attrs == {"units": "kg"}
        assert placed["lon"].attrs["standard_name"] == "longitude"
        np.testing.assert_allclose(placed["lon"], 10.2 + 0.1 * np.arange(5), atol=1e-5)
        assert (placed["a"].chunks is None) == (chunks is None)


def test_rows_and_columns_without_cells_are_there() -> None:
    placed = on_axes(cells(np.array([0, 2, 3, 6, 8, 15, 19])))
    assert placed.sizes["lat"] == 4
    assert placed["c"].isel(lat=2).isnull().all()


def test_a_point_that_stands_twice_stays_in_a_list() -> None:
    """On a grid one of the two would be lost."""
    assert "cell" in on_axes(cells(np.array([*range(20), 7]))).dims
