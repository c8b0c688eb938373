"""A small project made in seconds: towers, two products, a budget; a region's name tries to break the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "cli", HERE.parent / "sources"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from side_by_side import field, write_world  # noqa: E402

WEST = "<script>alert('west')</script> & {{ 7*7 }}"
EAST = "east"
TITLE = "A <b>made</b> world & its page"


def made(folder: Path, **changes: Any) -> Path:
    """The project file; `changes` replace keys of its sections."""
    folder.mkdir(parents=True, exist_ok=True)
    field(folder, "weak", "nee", -10.0)
    field(folder, "source", "nee", 6.0)
    squares = [(WEST, -170.0, -60.0), (EAST, 20.0, 170.0)]
    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[a, 52.0], [b, 52.0], [b, 72.0], [a, 72.0], [a, 52.0]]],
            },
        }
        for name, a, b in squares
    ]
    content = {"type": "FeatureCollection", "features": features}
    (folder / "regions.geojson").write_text(json.dumps(content))
    sections: dict[str, Any] = {
        "title": TITLE,
        "ensemble": None,
        "compare": {
            "regions": ["regions.geojson:name"],
            "figures": False,
            "draws": 100,
            "approaches": {
                "towers": {"sites": "towers.csv"},
                "upscaling": {"fluxes": {"forest": "upscaled.nc"}},
                "fields": {"fluxes": {"weak": "weak.nc", "source": "source.nc"}},
            },
        },
        "budget": {"draws": 1000},
        "report": {"figures": False},
    }
    return write_world(folder, **{**sections, **changes})
