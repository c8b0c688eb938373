"""Templates of pages that open offline, and figures inside them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from matplotlib.figure import Figure

from talik.report.style import Width, png, svg

_DPI = 110


@cache
def template(name: str) -> jinja2.Template:
    """A template of talik's pages by file name; it escapes whatever strings it is given.

    jinja2.TemplateNotFound for a name that there is none of.
    """
    folder = files("talik.report") / "templates"
    held = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(held), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(name)


def data_uri(svg: str) -> str:
    """An SVG as the address of an image that needs no file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def picture(
    name: str, title: str, caption: str, alt: str, draw: Callable[[Width], Figure | None]
) -> dict[str, str] | None:
    """A figure for the macro of picture.html.j2, wide and for phones; None if there is nothing to draw."""
    wide, narrow = draw("wide"), draw("narrow")
    if wide is None or narrow is None:
        return None
    images = {"wide": data_uri(svg(wide)), "narrow": data_uri(svg(narrow))}
    return {"name": name, "title": title, "caption": caption, "alt": alt, **images}


def raster_picture(
    name: str, title: str, caption: str, alt: str, draw: Callable[[Width], Figure | None]
) -> dict[str, str] | None:
    """The same as PNG, for maps whose outlines would be long as SVG."""
    wide, narrow = draw("wide"), draw("narrow")
    if wide is None or narrow is None:
        return None
    images = {
        width: "data:image/png;base64," + base64.b64encode(png(figure, dpi=_DPI)).decode()
        for width, figure in (("wide", wide), ("narrow", narrow))
    }
    return {"name": name, "title": title, "caption": caption, "alt": alt, **images}


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `talik.provenance.describe` returns, as rows of a table: code, machine, time, and every input."""
    rows = [
        (k, str(provenance[k]))
        for k in ("code", "python", "platform", "created", "config")
        if provenance.get(k)
    ]
    for name, told in dict(provenance.get("inputs", {})).items():
        rows.append((str(name), _file(told)))
    return rows


def _file(told: Mapping[str, Any]) -> str:
    size = f" ({told['bytes']} bytes)" if "bytes" in told else ""
    return f"sha256 {told.get('sha256', '')}{size}"
