"""Sphinx configuration. `make docs` builds with warnings as errors and runs every example."""

from __future__ import annotations

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html import HTMLTranslator

import talik

project = "talik"
author = "The talik developers"
copyright = "2026, the talik developers"
version = release = talik.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "jupyter_execute"]

html_theme = "pydata_sphinx_theme"
html_title = "talik"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

nb_execution_mode = "force"  # a cache would not notice a change in talik
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_render_markdown_format = "myst"
html_sidebars = {"**": []}
html_math_renderer = "mathml"  # equations without a network, drawn by the browser itself
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = False


def _argument_lines(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Docstrings describe arguments as ``name : meaning`` and errors as ``SomeError: when``, with indented
    continuations; show each on its own line."""
    out: list[str] = []
    inside = False
    for line in lines:
        starts = re.match(r"[a-z_][\w, `*]* : |    [A-Z]\w*Error: ", line) is not None
        if starts:
            if not inside and out and out[-1]:
                out.append("")
            out.append(f"| {line.strip()}")
            inside = True
        elif inside and line.startswith("    "):
            out.append(f"  {line.strip()}")
        else:
            if inside and line:
                out.append("")
            out.append(line)
            inside = False
    lines[:] = out


def _inline_math(writer: HTMLTranslator, node: nodes.math) -> None:
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block_math(writer: HTMLTranslator, node: nodes.math_block) -> None:
    writer.body.append(f'<div style="overflow-x:auto">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the docstring hook and the equations."""
    app.connect("autodoc-process-docstring", _argument_lines)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
