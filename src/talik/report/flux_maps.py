"""Maps of mean annual fluxes: a sink is green, a source brown, the same colours for the same numbers on both sides."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from talik.report.maps import polar_map

MOST_CELLS = 1200
"""Cells along an edge that a map shows; finer fields are averaged in blocks."""
NAMES = {
    "nee": "net ecosystem exchange",
    "gpp": "gross primary production",
    "reco": "ecosystem respiration",
    "fch4": "methane",
}
_DIVERGING = ("nee", "fch4")


def write_flux_maps(maps: Path, out: Path, dpi: int = 160) -> list[Path]:
    """Draw every ``<flux>_annual`` of a maps file (`talik.products.store.write_products`) as PNG in folder `out`."""
    written = []
    with xr.open_dataset(maps, engine="netcdf4") as dataset:
        lat = dataset["lat"] if "lat" in dataset.dims else None
        for name in [str(v) for v in dataset.data_vars if str(v).endswith("_annual")]:
            flux = name.removesuffix("_annual")
            data = _coarser(dataset[name].load())
            limit = float(np.nanquantile(np.abs(data.values), 0.98))
            centred = flux in _DIVERGING and float(data.min()) < 0
            period = str(dataset[name].attrs.get("long_name", "")).rpartition(", ")[2]
            drawn = polar_map(
                data,
                lat_min=45.0 if lat is None else max(40.0, float(lat.min())),
                label=f"{NAMES.get(flux, flux)}, {period} (g C m\u207b\u00b2 yr\u207b\u00b9)",
                cmap="BrBG_r" if centred else "YlGn",
                vmin=-limit if centred else 0.0,
                vmax=limit,
            )
            path = out / f"map_{flux}.png"
            drawn.figure.savefig(path, dpi=dpi, facecolor="white", metadata={"Software": None})
            plt.close(drawn.figure)
            written.append(path)
    return written


def _coarser(data: xr.DataArray) -> xr.DataArray:
    """Means of blocks of cells, so that no edge has more than MOST_CELLS."""
    blocks = {str(d): -(-data.sizes[d] // MOST_CELLS) for d in data.dims if data.sizes[d] > MOST_CELLS}
    if not blocks:
        return data
    mean: xr.DataArray = data.coarsen(blocks, boundary="trim").mean()
    return mean.assign_attrs(data.attrs)
