"""The truth of a made world beside the budget and the pixels; totals of approaches stand with the regions."""

from __future__ import annotations

from typing import Any

from talik.report.numbers import gas_name, label, quantity
from talik.report.page_tables import Table, shown, table
from talik.report.results import Results, content_of


def part(results: Results) -> dict[str, Any] | None:
    """Tables of the budget and of pixels against the truth; None where it is not known."""
    if results.truth is None:
        return None
    with content_of("truth.json"):
        tables = [t for t in (_budget(results.truth), _pixels(results.truth)) if t is not None]
        variable = str(results.truth["variable"])
        first, last = results.truth["period"]
    return {"tables": tables, "told": f"{variable.upper()} of {first}–{last} as the world was made."}


def _budget(held: Any) -> Table | None:
    rows = [
        [
            label(str(row["post"])),
            gas_name(str(row["gas"])),
            quantity(float(row["mean"]), float(row["low"]), float(row["high"])),
            shown(row["truth"]),
            _word(row["inside"]),
        ]
        for row in held.get("budget", [])
    ]
    if not rows:
        return None
    columns = ["Post", "Gas", "#Budget", "#Truth", "Inside"]
    return table("The budget against the truth", columns, rows, "Means and 95 % limits, units of the budget.")


_FEW = 12
"""So many numbers of pixels are shown one by one."""


def _pixels(held: Any) -> Table | None:
    """Few pixels one by one; of many, by approach and quantity, how many limits hold the truth."""
    rows = held.get("pixels", [])
    if not rows:
        return None
    if len(rows) <= _FEW:
        body = [
            [
                f"{r['approach']}, {r['pixel']}",
                str(r["quantity"]),
                quantity(float(r["mean"]), float(r["low"]), float(r["high"])),
                shown(r["truth"]),
                _word(r["inside"]),
                str(r.get("quality", "converged" if r["converged"] else "not converged")).replace("_", " "),
            ]
            for r in rows
        ]
        columns = ["Pixel", "Quantity", "#Estimate", "#Truth", "Inside", "Sampling"]
        told = "g C m⁻² yr⁻¹, 95 % limits of all members; limits of pixels that have not converged are rough."
        return table("Pixels against the truth", columns, body, told)
    body = []
    for key in dict.fromkeys((str(r["approach"]), str(r["quantity"])) for r in rows):
        mine = [r for r in rows if (str(r["approach"]), str(r["quantity"])) == key]
        good = [r for r in mine if r["converged"]]
        inside = sum(bool(r["inside"]) for r in good)
        share = f"{100 * inside / len(good):.0f} %" if good else "–"
        body.append([*key, str(len(mine)), str(len(good)), str(inside), share])
    return table(
        "Pixels against the truth",
        ["Approach", "Quantity", "#Pixels", "#Converged", "#Truth within limits", "#Share"],
        body,
        "Of pixels that converged; 95 % limits should hold the truth in about 95 % of them.",
    )


def _word(inside: Any) -> str:
    return "–" if inside is None else "yes" if inside else "no"
