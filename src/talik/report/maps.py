"""Polar maps on EPSG:6931 with matplotlib: land, graticule, gridded fields and region outlines. No downloads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection, QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from talik.errors import GridError
from talik.regions import EqualAreaGrid, Grid, grid_of, land, sector_polygons
from talik.regions.axes import conform

Array = NDArray[np.float64]

SEA = "#eef3f7"
LAND = "#e3e0d8"
COAST = "#6b6f73"
GRATICULE = "#9aa3ab"
INK = "#2b2f33"
SECTOR_COLOURS: Mapping[str, str] = {
    "alaska": "#E69F00",
    "canada": "#56B4E9",
    "europe": "#009E73",
    "siberia": "#CC79A7",
}
"""Okabe and Ito's palette (2008), told apart with every common colour vision and in grey by their labels."""
_LABEL_AT = {
    "alaska": (-152.5, 65.5),
    "canada": (-106.0, 62.0),
    "europe": (27.0, 61.5),
    "siberia": (108.0, 64.0),
}
_BEND_DEG = 1.0


class PolarMap:
    """Axes that show the Northern Hemisphere from ``lat_min`` to the pole, Greenwich downward, in EPSG:6931 metres.

    ``axes`` and ``figure`` are plain matplotlib objects; draw on them with :meth:`xy`, or use the methods below.
    """

    def __init__(self, axes: Axes | None = None, *, lat_min: float = 45.0, size_inch: float = 6.0) -> None:
        if not 0.0 <= lat_min < 89.0:
            raise GridError(f"PolarMap: lat_min must lie in 0..89 degrees; found {lat_min}.")
        if axes is None:
            axes = Figure(figsize=(size_inch, size_inch), layout="constrained").add_subplot()
        self.axes = axes
        self.lat_min = lat_min
        self._to_plane = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:6931", always_xy=True).transform
        self.radius_m = float(abs(self.xy(0.0, lat_min)[1]))
        margin = 1.12 * self.radius_m
        axes.set(xlim=(-margin, margin), ylim=(-margin, margin), aspect="equal")
        axes.set_axis_off()
        self._rim = Circle((0.0, 0.0), self.radius_m, transform=axes.transData)
        axes.add_patch(Circle((0.0, 0.0), self.radius_m, facecolor=SEA, edgecolor="none", zorder=0))
        axes.add_patch(
            Circle((0.0, 0.0), self.radius_m, facecolor="none", edgecolor=INK, linewidth=0.9, zorder=9)
        )

    @property
    def figure(self) -> Figure:
        """The figure that holds the axes."""
        figure = self.axes.get_figure(root=True)
        if figure is None:
            raise GridError("PolarMap: these axes belong to no figure.")
        return figure

    def xy(self, lon: Any, lat: Any) -> tuple[Array, Array]:
        """EPSG:6931 metres for degrees (broadcast)."""
        x, y = self._to_plane(lon + np.zeros_like(lat, dtype=float), lat + np.zeros_like(lon, dtype=float))
        return np.asarray(x), np.asarray(y)

    def polygons(self, geometry: BaseGeometry, **style: Any) -> PatchCollection:
        """Fill flat polygons (degrees); ``style`` goes to the patches."""
        box = shapely.box(-180.0, self.lat_min - 2.0, 180.0, 90.0)
        shape = shapely.segmentize(shapely.intersection(geometry, box), _BEND_DEG)
        patches = []
        for part in shapely.get_parts(shapely.get_parts(shape)):
            if part.geom_type == "Polygon":
                rings = [
                    np.column_stack(self.xy(*shapely.get_coordinates(r).T)) for r in shapely.get_rings(part)
                ]
                patches.append(
                    PathPatch(Outline.make_compound_path(*(Outline(r, closed=True) for r in rings)))
                )
        drawn = PatchCollection(patches, match_original=False, **{"linewidth": 0.0, **style})
        self.axes.add_collection(drawn, autolim=False)
        drawn.set_clip_path(self._rim)
        return drawn

    def land(self, *, colour: str = LAND) -> PatchCollection:
        """Fill land."""
        # An edge of the same colour hides the hairline where polygons are cut at the date line.
        return self.polygons(land(), facecolor=colour, edgecolor=colour, linewidth=0.3, zorder=1)

    def coastlines(self, *, colour: str = COAST, width: float = 0.45) -> LineCollection:
        """Draw coastlines, without the cut at the date line."""
        lines = shapely.segmentize(shapely.get_rings(shapely.get_parts(land())), _BEND_DEG)
        pieces = []
        for ring in lines:
            points = shapely.get_coordinates(ring)
            if points[:, 1].max() < self.lat_min - 2.0:
                continue
            at_cut = np.abs(points[:, 0]) > 180.0 - 1e-6
            breaks = np.flatnonzero(at_cut[1:] & at_cut[:-1]) + 1
            pieces += [np.column_stack(self.xy(*run.T)) for run in np.split(points, breaks) if len(run) > 1]
        drawn = LineCollection(pieces, colors=colour, linewidths=width, zorder=5, capstyle="round")
        self.axes.add_collection(drawn, autolim=False)
        drawn.set_clip_path(self._rim)
        return drawn

    def graticule(
        self,
        *,
        parallels: tuple[float, ...] = (50.0, 60.0, 70.0, 80.0),
        lon_step: float = 30.0,
        labels: bool = True,
    ) -> None:
        """Draw parallels north of the rim, and meridians up to 80 N, with their labels."""
        around = np.linspace(-180.0, 180.0, 721)
        shown = [lat for lat in parallels if lat > self.lat_min]
        meridians = np.arange(-180.0, 180.0, lon_step)
        lines = [np.column_stack(self.xy(around, lat)) for lat in shown]
        lines += [np.column_stack(self.xy(lon, np.linspace(self.lat_min, 80.0, 50))) for lon in meridians]
        drawn = LineCollection(lines, colors=GRATICULE, linewidths=0.45, linestyles=(0, (4, 3)), zorder=6)
        self.axes.add_collection(drawn, autolim=False)
        drawn.set_clip_path(self._rim)
        if not labels:
            return
        for lat in shown:
            self.latitude_label(lat)
        for lon in meridians:
            x, y = (1.03 * float(v) for v in self.xy(lon, self.lat_min))
            side = "" if lon in (0.0, -180.0) else "E" if lon > 0 else "W"
            across = "center" if abs(x) < 1.0 else "left" if x > 0 else "right"
            up = "center" if abs(y) < 1.0 else "bottom" if y > 0 else "top"
            self.axes.text(x, y, f"{abs(lon):g}°{side}", ha=across, va=up, fontsize=7.5, color=INK)

    def latitude_label(self, lat: float) -> None:
        """Write a latitude on its parallel, in the North Atlantic."""
        x, y = self.xy(-22.0, lat)
        self.text(float(x), float(y), f"{lat:g}°N", size=6.5, colour=COAST)

    def text(
        self, x_m: float, y_m: float, label: str, *, size: float = 8.0, colour: str = INK, bold: bool = False
    ) -> None:
        """Write a label with a light halo, so that it reads on any background."""
        self.axes.text(
            x_m,
            y_m,
            label,
            ha="center",
            va="center",
            fontsize=size,
            color=colour,
            fontweight="bold" if bold else "normal",
            path_effects=[withStroke(linewidth=2.2, foreground="white", alpha=0.85)],
            zorder=10,
        )

    def field(
        self,
        data: xr.DataArray,
        *,
        grid: Grid | None = None,
        cmap: str | Colormap = "viridis",
        vmin: float | None = None,
        vmax: float | None = None,
        colourbar: str | None = None,
    ) -> QuadMesh:
        """Draw a two-dimensional field cell by cell, in its true outline; NaN is left out.

        ``grid`` is read from the coordinates by default. ``colourbar`` is its label; without it there is no colour bar.
        """
        grid = grid_of(data) if grid is None else grid
        values = conform(data, grid)
        if values.ndim != 2:
            raise GridError(
                f"PolarMap.field: expected two dimensions {grid.dims}; found {values.dims}. Select one time."
            )
        image = np.ma.masked_invalid(np.asarray(values.values, dtype=float))
        if isinstance(grid, EqualAreaGrid):
            x, y = np.meshgrid(grid.x_edges, grid.y_edges)
        else:
            rows = np.flatnonzero(grid.y_edges[1:] > self.lat_min - 2.0)
            if rows.size == 0:
                raise GridError(f"PolarMap.field: {grid} has no cell north of {self.lat_min} N.")
            image = image[rows]
            lon, lat = np.meshgrid(grid.x_edges, grid.y_edges[rows[0] : rows[-1] + 2])
            x, y = self.xy(lon, lat)
        mesh = self.axes.pcolormesh(
            x, y, image, cmap=cmap, norm=Normalize(vmin, vmax), shading="flat", rasterized=True, zorder=2
        )
        mesh.set_clip_path(self._rim)
        if colourbar is not None:
            self._colourbar(mesh, colourbar)
        return mesh

    def _colourbar(self, mesh: ScalarMappable, label: str) -> None:
        bar = self.figure.colorbar(
            mesh, ax=self.axes, orientation="horizontal", shrink=0.6, pad=0.02, aspect=32
        )
        bar.set_label(label, fontsize=8.5)
        bar.ax.tick_params(labelsize=7.5)


def polar_map(
    data: xr.DataArray | None = None,
    *,
    axes: Axes | None = None,
    lat_min: float = 45.0,
    label: str | None = None,
    cmap: str | Colormap = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
) -> PolarMap:
    """A finished polar map: land, the field ``data`` if given, coastlines and graticule.

    ``label`` is written at the colour bar; by default it is made of the long name (or name) and units of ``data``.
    """
    drawn = PolarMap(axes, lat_min=lat_min)
    drawn.land()
    if data is not None:
        if label is None:
            what = data.attrs.get("long_name", data.name if data.name is not None else "")
            label = f"{what} ({data.attrs['units']})" if data.attrs.get("units") else str(what)
        drawn.field(data, cmap=cmap, vmin=vmin, vmax=vmax, colourbar=label)
    drawn.coastlines()
    drawn.graticule()
    return drawn


def region_map(
    out: str | Path | None = None,
    *,
    siberia_from_lon: float = 60.0,
    south: float = 49.0,
    circles: tuple[float, ...] = (60.0,),
    dpi: int = 200,
) -> Figure:
    """Figure of the four continental sectors and latitude circles; written to ``out`` (PNG, SVG, PDF) if given."""
    drawn = PolarMap(lat_min=45.0, size_inch=6.4)
    drawn.land()
    polygons = sector_polygons(siberia_from_lon, south)
    for name, colour in SECTOR_COLOURS.items():
        drawn.polygons(
            polygons[name], facecolor=colour, edgecolor=colour, linewidth=0.3, alpha=0.85, zorder=3
        )
    drawn.coastlines(colour="#4a4d50")
    drawn.graticule(parallels=(70.0, 80.0))
    around = np.linspace(-180.0, 180.0, 721)
    for lat in (south, *circles):
        drawn.axes.plot(*drawn.xy(around, lat), color=INK, linewidth=1.0, zorder=7)
        drawn.latitude_label(lat)
    for name, (lon, lat) in _LABEL_AT.items():
        x, y = drawn.xy(lon, lat)
        drawn.text(float(x), float(y), name.capitalize(), size=10.5, bold=True)
    handles = [
        Patch(facecolor=c, edgecolor="none", alpha=0.85, label=n.capitalize())
        for n, c in SECTOR_COLOURS.items()
    ]
    handles.append(Patch(facecolor=LAND, edgecolor="none", label="other land"))
    drawn.axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.02, -0.02),
        frameon=False,
        fontsize=8,
        handlelength=1.1,
        handleheight=1.1,
    )
    figure = drawn.figure
    if out is not None:
        figure.savefig(out, dpi=dpi, facecolor="white")
    return figure
