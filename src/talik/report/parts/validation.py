"""Validation on a page: scores of the upscaling, towers, convergence of the fusion, closure of the process model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from talik.compare.figures import taylor_diagram
from talik.compare.page import taylor_points
from talik.compare.page_tables import skill
from talik.report.html import picture
from talik.report.page_tables import Table, percent, shown, table
from talik.report.parts.methods import DESIGNS
from talik.report.results import Results, content_of
from talik.report.style import Width

_SCORES = {
    "n": "n",
    "r2_cor": "R²",
    "nse": "Nash-Sutcliffe",
    "rmse": "RMSE",
    "mae": "MAE",
    "mbe": "Mean error",
}
_FLUXES = {"nee": "NEE", "gpp": "GPP", "reco": "Ecosystem respiration", "ch4": "CH₄"}
_QUALITY = {
    "converged": "converged",
    "map_quality": "good enough for maps",
    "unconverged": "not converged",
    "failed": "failed",
}
_CLOSURES = {"carbon": "Carbon", "nitrogen": "Nitrogen", "water": "Water", "heat": "Heat"}


def part(results: Results) -> list[dict[str, Any]]:
    """A block for each section that was judged: heading, sentences, tables, a figure."""
    blocks = (_upscaling(results), _towers(results), _fusion(results), _tem(results))
    return [block for block in blocks if block is not None]


def _block(
    title: str, told: Sequence[str], tables: Sequence[Table | None], drawn: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "title": title,
        "told": list(told),
        "tables": [t for t in tables if t is not None],
        "picture": drawn,
    }


def _upscaling(results: Results) -> dict[str, Any] | None:
    if results.upscaling is None:
        return None
    with content_of("upscaling.json"):
        fluxes = results.upscaling["fluxes"]
        rows, told = [], []
        for flux, held in fluxes.items():
            name = _FLUXES.get(flux, flux)
            if held["cv"] is not None:
                pooled = held["cv"]["pooled"]
                given = str(held["cv"].get("design") or held["cv"].get("design_note", ""))
                design = DESIGNS.get(given, given)
                rows.append([name, design, *(shown(pooled[k], 0 if k == "n" else 2) for k in _SCORES)])
            told.append(f"{name}: {held['learner']} of {held['n_rows']:,} months at {held['n_sites']} sites.")
            if held["applicability"] is not None:
                told.append(
                    f"{name}: {percent(held['applicability']['share'])} of area and time is like the sites (area of "
                    "applicability)."
                )
            told += [f"{name}, {note}" for note in held.get("notes", []) if note.startswith("accepted error")]
            told.append(f"The limits of {name} leave out {held['limits']['not']}.")
    found = table(
        "Scores of the upscaling",
        ["Flux", "Left out", *(f"#{name}" for name in _SCORES.values())],
        rows,
        "Predictions for what was left out of the learning, beside what was measured; RMSE, MAE and error in "
        "g m⁻² month⁻¹.",
    )
    return _block("Upscaling", told, [found if rows else None])


def _towers(results: Results) -> dict[str, Any] | None:
    if results.compare is None or not results.compare.get("skill"):
        return None
    with content_of("compare.json"):
        tables = skill(results.compare)
        points = taylor_points(results.compare)
    words = "; ".join(
        f"{name}: correlation {shown(t.r, 2)}, ratio of deviations {shown(t.sd_ratio, 2)}"
        for name, t in points.items()
    )

    def draw(width: Width) -> Figure | None:
        return taylor_diagram(points, width)

    drawn = picture(
        "towers",
        "Annual sums at towers",
        "The angle is the correlation over towers, the distance from zero the standard deviation over that observed.",
        f"Taylor diagram over towers. {words}.",
        draw,
    )
    return _block(
        "At towers", ["Every gridded approach in the months and at the places of towers."], tables, drawn
    )


def _fusion(results: Results) -> dict[str, Any] | None:
    if results.fusion is None:
        return None
    with content_of("fusion-check.json"):
        told = results.fusion
        counts = {str(k): int(v) for k, v in told["counts"].items()}
        pixels = told["pixels"]
        said = [
            f"{percent(told['passed'])} of {len(pixels)} pixels converged; {told['bad_input']} had input that could "
            "not be used. Pixels that did not converge are in no total."
        ]
        said += [f"Nothing is known of {name} in this run." for name in told["unknown"]]
        flagged = [p for p in pixels if p["quality"] != "converged"]
        quality = table(
            "Convergence of pixels",
            ["Quality", "#Pixels"],
            [[_QUALITY.get(name, name), str(n)] for name, n in counts.items()],
        )
        worst = table(
            "Pixels that did not pass",
            ["Pixel", "Quality", "Reason", "#R-hat", "#Effective draws"],
            [
                [
                    str(p["pixel"]),
                    str(p["quality"]),
                    str(p["reason"]),
                    shown(p["rhat_parameters"], 2),
                    shown(p["ess_bulk"], 0),
                ]
                for p in flagged[:50]
            ],
            "" if len(flagged) <= 50 else f"The first 50 of {len(flagged)}.",
        )
    return _block("Fusion", said, [quality, worst if flagged else None, _scores(results)])


def _scores(results: Results) -> Table | None:
    rows = results.fusion_scores
    if not rows:
        return None
    columns = [c for c in rows[0] if not c.startswith(("predicted", "inside_50"))]
    numbers = {c for c in columns if c != "units" and _number(rows[0][c])}
    return table(
        "Fusion beside what was observed",
        [f"#{c.replace('_', ' ')}" if c in numbers else c for c in columns],
        [[_cell(row[c]) if c in numbers else row[c] for c in columns] for row in rows[:200]],
    )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cell(text: str) -> str:
    return shown(float(text), 0 if text.lstrip("-").isdigit() else 2) if _number(text) else text or "–"


def _tem(results: Results) -> dict[str, Any] | None:
    if results.tem is None:
        return None
    with content_of("tem-audit.json"):
        told = results.tem
        closure = table(
            "Closure",
            ["Balance", "#Worst imbalance"],
            [[_CLOSURES.get(k, k.replace("_", " ")), f"{float(v):.2g}"] for k, v in told["closure"].items()],
            f"Largest over {told['columns']} columns and {told['years']} years, each relative or in the units of the "
            "audit of the run.",
        )
        notes = [str(n) for n in told.get("notes", [])]
        spun = told.get("spin_up") or {}
        rows = [[k.replace("_", " "), _cell(str(v))] for k, v in spun.items() if isinstance(v, int | float)]
    spin = table("Spin-up", ["What", "#Value"], rows) if rows else None
    return _block(
        "Process model", ["Carbon, nitrogen, water and heat are counted every year.", *notes], [closure, spin]
    )
