"""Polar maps: what is drawn lies where it should, and no global state is touched."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from talik.errors import GridError
from talik.regions import EqualAreaGrid, LatLonGrid
from talik.report.maps import PolarMap, polar_map, region_map


@pytest.mark.parametrize(
    "grid", [LatLonGrid.regular(5.0), EqualAreaGrid.epsg6931(500e3)], ids=["lat-lon", "equal-area"]
)
def test_field_is_drawn_in_its_true_outline(grid):
    """The pixel colour at a known place is that of the cell there."""
    lat = (
        grid.wrap(np.broadcast_to(grid.y[:, None], grid.shape))
        if isinstance(grid, LatLonGrid)
        else grid.lonlat()[1]
    )
    drawn = PolarMap(lat_min=50.0, size_inch=3.0)
    mesh = drawn.field(lat.rename("latitude"), vmin=50.0, vmax=90.0, cmap="gray")
    canvas = FigureCanvasAgg(drawn.figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())
    for lon, where in ((0.0, 87.5), (100.0, 72.5), (-150.0, 57.5)):
        x, y = drawn.axes.transData.transform(np.ravel(drawn.xy(lon, where)))
        grey = image[image.shape[0] - 1 - int(y), int(x), 0] / 255
        assert grey == pytest.approx((where - 50) / 40, abs=0.07)
    assert mesh.get_array().count() > 0


def test_region_map_is_written(tmp_path):
    figure = region_map(tmp_path / "m.png", dpi=60)
    assert (tmp_path / "m.png").stat().st_size > 10_000
    labels = {t.get_text() for t in figure.axes[0].texts}
    assert {"Alaska", "Canada", "Europe", "Siberia", "180°", "90°E", "90°W", "49°N"} <= labels


def test_polar_map_labels_its_colour_bar():
    grid = LatLonGrid.regular(10.0, lat=(50, 90))
    data = grid.cell_area().assign_attrs(long_name="cell area")
    assert polar_map(data).figure.axes[1].get_xlabel() == "cell area (m2)"


def test_refusals():
    with pytest.raises(GridError, match="lat_min"):
        PolarMap(lat_min=90.0)
    with pytest.raises(GridError, match="no cell north of"):
        PolarMap().field(LatLonGrid.regular(10.0, lat=(-50, 0)).cell_area())
    with pytest.raises(GridError, match="two dimensions"):
        PolarMap().field(LatLonGrid.regular(10.0).cell_area().expand_dims(time=2))


def test_pyplot_is_not_imported_and_regions_stay_light():
    code = (
        "import sys, talik.regions; assert 'matplotlib' not in sys.modules; assert 'scipy' not in sys.modules;"
        "assert 'shapely' not in sys.modules; from talik.report.maps import region_map; region_map();"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
