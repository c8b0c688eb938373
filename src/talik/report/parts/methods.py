"""Methods and provenance on a page: what each section did, in words, and what everything was made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from talik.report.html import provenance_rows
from talik.report.page_tables import Table, table
from talik.report.results import Results

Settings = Mapping[str, Any]
_LONGEST = 3
DESIGNS = {
    "loso": "sites left out one by one",
    "cluster": "clusters of sites left out together",
    "knndm": "folds as far from the rest as the map is from the sites (kNNDM)",
    "year": "blocks of years left out",
    "forward": "later years left out",
    "none": "nothing left out",
}


def methods(results: Results) -> list[dict[str, Any]]:
    """For each section a name, what it did in words, and its settings as rows."""
    out = []
    for name in results.sections:
        settings = results.answer[name]
        say = _WORDS.get(name)
        out.append(
            {
                "name": _NAMES.get(name, name.capitalize()),
                "words": say(settings) if say else f"The section {name} of the project file.",
                "rows": _rows(settings),
            }
        )
    return out


def provenance(results: Results) -> dict[str, Any]:
    """Rows of code and inputs, a table of steps with their keys, and the project file."""
    steps: Table = table(
        "Steps",
        ["Step", "Key"],
        [[name, key] for name, key in results.steps],
        "The key is a hash of settings, code, inputs and the steps before; results lie in work/STEP-KEY of the output "
        "folder, and manifest.json has the hash of each.",
    )
    return {
        "rows": provenance_rows(results.made_by),
        "steps": steps,
        "files": list(results.files),
        "settings": json.dumps(results.answer, indent=1, ensure_ascii=False),
    }


def _rows(settings: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Settings as dotted names and values; what is empty or unset is left out."""
    if isinstance(settings, Mapping):
        return [row for k, v in settings.items() for row in _rows(v, f"{prefix}.{k}" if prefix else str(k))]
    if settings is None or settings in ([], ""):
        return []
    if isinstance(settings, list):
        return [(prefix, ", ".join(map(str, settings)))]
    return [(prefix, "yes" if settings is True else "no" if settings is False else str(settings))]


def _some(names: Any, most: int = _LONGEST) -> str:
    held = [str(n) for n in names]
    return ", ".join(held[:most]) + (f" and {len(held) - most} more" if len(held) > most else "")


def _budget(s: Settings) -> str:
    named = s.get("posts")
    listed = _some(named, 6) if isinstance(named, list) else str(named)
    source = "the published posts" if named == "reccap2" else f"posts of {listed}"
    return (
        f"Posts with limits, {source}, added by recipes that count nothing twice; limits combined as "
        f"{s.get('combine')} ({s.get('draws'):,} draws); CO₂ equivalents over {s.get('horizon')} years."
    )


def _compare(s: Settings) -> str:
    return (
        f"{str(s['variable']).upper()} of {len(s['approaches'])} approaches ({_some(s['approaches'], 6)}) in regions "
        f"{_some(s['regions'])}; each approach counts once, however many models it has. A mean needs data over "
        f"{100 * s['least_coverage']:g} % of the land of a region."
    )


def _upscaling(s: Settings) -> str:
    cv = s.get("cv") or {}
    design = DESIGNS.get(str(cv.get("design")), str(cv.get("design", "")))
    return (
        f"Monthly {_some(s.get('fluxes', []))} learnt from sites of {s.get('sites')} by {s.get('learner')} and "
        f"predicted over grids; judged with {design}; {s.get('members')} models of resampled sites for the limits."
    )


def _tem(s: Settings) -> str:
    return (
        "The Terrestrial Ecosystem Model with a soil column to 50 m: soil heat, water, plants, carbon and nitrogen, "
        "from equilibrium and spin-up through the years of the run"
        + (", with permafrost carbon in layers." if s.get("permafrost") else ".")
    )


def _fusion(s: Settings) -> str:
    given = (s.get("observations") or {}).items()
    streams = [name for name, of in given if isinstance(of, Mapping) and "files" in of]
    sampler = s.get("sampler") or {}
    others = "are left out" if s.get("fill") == "none" else "are taken with a flag"
    return (
        f"DALEC fitted to {_some(streams, 9) or 'no observations'}, pixel by pixel, by {sampler.get('method')} with "
        f"{sampler.get('chains')} chains; pixels that have not converged {others}."
    )


def _ensemble(s: Settings) -> str:
    return (
        f"{len(s.get('models', {}))} process models and {len(s.get('inversions', {}))} inversions in one shape: units, "
        "signs and land checked, submissions of one group averaged first."
    )


def _inventory(s: Settings) -> str:
    return (
        f"Areas of land-cover classes times fluxes per area ({_some(s.get('densities', {}))}), with what lies beside "
        f"the land, for {s.get('region')}, {s.get('period')}."
    )


def _trends(_: Settings) -> str:
    return "Theil-Sen slopes with limits and Mann-Kendall tests of annual series."


def _truth(_: Settings) -> str:
    return "The results beside the world from which the observations were made; nothing else uses that truth."


_NAMES = {
    "budget": "Budget",
    "compare": "Comparison",
    "upscaling": "Upscaling",
    "tem": "Process model",
    "fusion": "Model-data fusion",
    "ensemble": "Ensembles",
    "inventory": "Inventory",
    "calibration": "Calibration",
    "forcing": "Forcing",
    "trends": "Trends",
    "truth": "Truth",
}
_WORDS: dict[str, Callable[[Settings], str]] = {
    "budget": _budget,
    "compare": _compare,
    "upscaling": _upscaling,
    "tem": _tem,
    "fusion": _fusion,
    "ensemble": _ensemble,
    "inventory": _inventory,
    "trends": _trends,
    "truth": _truth,
}
