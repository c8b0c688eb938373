"""The budget as a table: terminal, CSV, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from talik.budget.audit import Audit
from talik.budget.compute import Budget
from talik.posts import COMBINATIONS, Post
from talik.report.numbers import decimals_for, interval, label, number, plain, post_quantity

HEADER = ("post", "gas", "mean", *COMBINATIONS, "unit")


def rows(budget: Budget, *, with_parts: bool = False) -> list[tuple[str, ...]]:
    """One row a derived post: label, gas, mean, limits under each assumption, unit (plain text)."""
    out = []
    for post in shown_posts(budget, with_parts=with_parts):
        digits = decimals_for(post.high - post.low)
        cells = [label(post.id), post.gas, plain(number(post.mean, digits))]
        for name in COMBINATIONS:
            limits = budget.evaluation.limits.get(name, {}).get(post.key)
            cells.append(plain(interval(limits.low, limits.high, digits)) if limits else "not drawn")
        out.append((*cells, post.unit))
    return out


def shown_posts(budget: Budget, *, with_parts: bool = False) -> list[Post]:
    """The derived posts of a table, grouped by gas; the gas parts of CO2-equivalent totals only on request."""
    order = {"CO2": 0, "CH4": 1, "N2O": 2, "CO2e": 3, "C": 4, "N": 5}
    posts = [p for p in budget.evaluation.derived if with_parts or p.part_of is None]
    return sorted(posts, key=lambda p: order.get(p.gas, 9))


def print_table(budget: Budget, console: Console) -> None:
    """The table for a terminal, with what a reader must know below it."""
    s = budget.settings
    table = Table(
        box=SIMPLE_HEAD, title=escape(f"Budget {budget.name}"), title_justify="left", pad_edge=False
    )
    for name in HEADER:
        style = "bold" if name == s.combine else ""
        table.add_column(
            name, justify="left" if name in ("post", "gas", "unit") else "right", style=style, no_wrap=True
        )
    last = ""
    for row in rows(budget):
        if last and row[1] != last:
            table.add_section()
        last = row[1]
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    console.print(
        f"Release to the atmosphere is positive. Limits are 2.5 % and 97.5 %; the headline is {s.combine}. "
        f"Drawn limits: {s.draws:,} draws, seed {s.seed}, shown to the digit they support. "
        f"CO2 equivalents: GWP-{s.horizon}"
        + (f", {s.ch4_gwp:g} for all CH4." if s.ch4_gwp else ", AR6, by origin of CH4."),
        highlight=False,
        style="dim",
    )
    for name, why in budget.evaluation.unavailable.items():
        console.print(f"{name}: not available. {why}", highlight=False, style="yellow")
    for key, accepted in budget.evaluation.accepted.items():
        for a in accepted:
            if key[1] != "CO2e":
                console.print(
                    f"{key[0]} ({key[1]}): {a.mismatch} of {a.post} differs: {a.why}.",
                    highlight=False,
                    style="dim",
                )
    for comparison in budget.comparisons:
        if comparison.difference.gas != "CO2e" and comparison.difference.id == "difference.natural":
            console.print(
                comparison_line(comparison.difference, comparison.missing), highlight=False, style="dim"
            )


def print_audit(result: Audit, console: Console) -> None:
    """Findings grouped by explanation."""
    count = len(result.findings)
    console.print(
        f"{result.checked} printed numbers recomputed, {count} do not follow from their inputs.\n",
        style="bold",
    )
    last = ""
    for f in result.findings:
        text = f"{f.where}: {f.explanation}"
        if text != last:
            console.print(f"[bold]{escape(f.where)}[/bold]\n{escape(f.explanation)}", highlight=False)
            last = text
        printed = f.printed if isinstance(f.printed, str) else f"{f.printed:g}"
        console.print(
            escape(
                f"    {f.id} {f.gas} {f.part}: printed {printed}, recomputed {f.recomputed_low:.4g} to "
                f"{f.recomputed_high:.4g}, misses by {f.miss:.3g}"
            ),
            highlight=False,
        )


def comparison_line(difference: Post, missing: Mapping[str, tuple[str, ...]]) -> str:
    """Bottom-up minus top-down in one line, with what is not covered."""
    told = "; ".join(f"{side.replace('_', '-')} lacks {', '.join(names)}" for side, names in missing.items())
    return (
        f"{difference.gas} bottom-up minus top-down: {plain(post_quantity(difference))} {difference.unit}"
        + (f" ({told})." if told else ".")
    )


def to_csv(budget: Budget) -> str:
    """Every derived post with full-precision numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = [f"{name}_{end}" for name in COMBINATIONS for end in ("low", "high")]
    writer.writerow(
        ["id", "gas", "mean", "low", "high", "unit", "region", "period", "part_of", *ends, "recipe"]
    )
    for p in shown_posts(budget, with_parts=True):
        values: list[float | str] = []
        for name in COMBINATIONS:
            limits = budget.evaluation.limits.get(name, {}).get(p.key)
            values += [limits.low, limits.high] if limits else ["", ""]
        writer.writerow(
            [
                p.id,
                p.gas,
                p.mean,
                p.low,
                p.high,
                p.unit,
                p.region,
                p.period,
                p.part_of or "",
                *values,
                str(p.recipe),
            ]
        )
    return out.getvalue()


def to_markdown(budget: Budget) -> str:
    """A Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    body = [line(r) for r in rows(budget)]
    return "\n".join([line(HEADER), "|---|---|---:|---:|---:|---:|---|", *body]) + "\n"


def to_latex(budget: Budget) -> str:
    """A LaTeX table (booktabs)."""
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    special["\\"] = "\\textbackslash{}"

    def cell(text: str) -> str:
        escaped = "".join(special.get(c, c) for c in text)
        return escaped.replace("-", "$-$") if text[:1] in "-(" else escaped

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell(c) for c in cells) + r" \\"

    body = "\n".join(line(r) for r in rows(budget))
    return (
        "\\begin{tabular}{llrrrrl}\n\\toprule\n"
        f"{line(HEADER)}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
    )
