"""Maps on a page as small images in layers (sea and land, the flux, coasts), and the bar of their colours."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image

from talik.report.maps import SEA, PolarMap
from talik.report.numbers import decimals_for, number
from talik.report.reduce import SOUTH, canvas

Array = NDArray[np.float64]
CMAP = "BrBG_r"
"""Uptake is green, release brown, as on the other maps."""
_SHADES = 63
_DPI, _INCHES = 100, 4.0
_QUANTILE = 0.98


def limit_of(*maps: Array) -> float:
    """End of the colours: the 98th percentile of the absolute values, rounded up to one digit."""
    held = np.concatenate([np.abs(m[np.isfinite(m)]) for m in maps]) if maps else np.zeros(0)
    top = float(np.quantile(held, _QUANTILE)) if held.size else 0.0
    if top <= 0.0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(top))
    return float(np.ceil(top / unit) * unit)


def flux_image(field: Array, limit: float) -> str:
    """A map of `canvas` as the address of a PNG; colours from -limit to limit, transparent where there is no value.

    The same field gives the same bytes.
    """
    seen = np.isfinite(field)
    shade = np.clip(np.rint((np.where(seen, field, 0.0) / limit + 1.0) / 2.0 * (_SHADES - 1)), 0, _SHADES - 1)
    index = np.where(seen, shade, _SHADES).astype(np.uint8)[::-1]
    colours = (colormaps[CMAP](np.linspace(0.0, 1.0, _SHADES))[:, :3] * 255.0).round().astype(np.uint8)
    image = Image.frombytes("P", (index.shape[1], index.shape[0]), index.tobytes())
    image.putpalette([*colours.ravel().tolist(), 255, 255, 255])
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True, transparency=_SHADES)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


@cache
def layers() -> dict[str, str]:
    """Addresses of the layers below and above every map: sea and land, coasts and graticule."""
    edge = float(canvas().x_edges[-1])
    out = {}
    for name in ("below", "above"):
        drawn = PolarMap(lat_min=SOUTH, size_inch=_INCHES)
        figure = drawn.figure
        figure.set_layout_engine("none")
        figure.patch.set_alpha(0.0)
        drawn.axes.set_position((0.0, 0.0, 1.0, 1.0))
        drawn.axes.set(xlim=(-edge, edge), ylim=(-edge, edge))
        if name == "below":
            drawn.land()
        else:
            for patch in drawn.axes.patches:
                if patch.get_facecolor()[:3] == _rgb(SEA):
                    patch.set_visible(False)
            drawn.coastlines(width=0.7)
            drawn.graticule(labels=False)
        raw = io.BytesIO()
        figure.savefig(raw, format="png", dpi=_DPI, transparent=True, metadata={"Software": "talik"})
        out[name] = "data:image/png;base64," + base64.b64encode(_small(raw.getvalue())).decode()
    return out


def bar(limit: float, unit: str, what: str) -> dict[str, Any]:
    """The colours of maps as a bar: its stops, what stands below it, and words for who does not see it."""
    stops = [to_hex(c) for c in colormaps[CMAP](np.linspace(0.0, 1.0, 9))]
    digits = decimals_for(2.0 * limit)
    low, high = number(-limit, digits), number(limit, digits)
    return {
        "colours": ", ".join(stops),
        "labels": [f"{low} and less", "0", f"{high} and more"],
        "unit": unit,
        "alt": f"Colours of {what}: green is uptake to {low} {unit}, brown is release to {high} {unit}.",
    }


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5))


def _small(png: bytes) -> bytes:
    """The image with at most 64 colours."""
    image = Image.open(io.BytesIO(png)).convert("RGBA").quantize(64, method=Image.Quantize.FASTOCTREE)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()
