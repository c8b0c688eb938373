"""`talik check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talik.workflow.conventions import EXIT_FAILED_UNITS, JsonOption, bad_input_exits, print_json, show

if TYPE_CHECKING:
    from rich.console import Console

    from talik.sources.doctor import Examination

FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="Project files, site tables, folders of FLUXNET files, grids, flux datasets, posts files.",
    ),
]


def check(files: FilesArgument, as_json: JsonOption = False) -> None:
    """What is wrong with input? Every problem at once, with the rows it concerns and what to do.

    A project file is checked with all its data: every file that is missing, each section's own check, the plan.
    Exit codes: 0 no errors (warnings and notes do not count), 1 errors were found, 2 no such file.
    """
    with bad_input_exits():
        from talik.errors import InputError

        lost = [str(path) for path in files if not path.exists()]
        if lost:
            raise InputError(f"{', '.join(lost)}: no such file. Check the path.")
        found = {name: examination for path in files for name, examination in _examined(path).items()}
        if as_json:
            print_json({path: e.to_dict() for path, e in found.items()})
        else:
            for path, examination in found.items():
                show(lambda console, p=path, e=examination: _print(console, p, e))  # type: ignore[misc]
        if not all(e.usable for e in found.values()):
            raise typer.Exit(EXIT_FAILED_UNITS)


def _examined(path: Path) -> dict[str, Examination]:
    """What a file is and what is wrong with it; of a project file, the same of each file that it names."""
    from talik.cli.check_file import examined
    from talik.sources.doctor import YAML_ENDINGS

    if path.is_file() and path.suffix.lower() in YAML_ENDINGS:
        from talik.cli.check_project import examine_project
        from talik.yamlio import load_yaml

        content = load_yaml(path)
        if isinstance(content, dict) and "talik" in content:
            return examine_project(path)
    return {str(path): examined(path)}


def _print(console: Console, path: str, examination: Examination) -> None:
    from rich.markup import escape
    from rich.table import Table

    from talik.sources.problem import counted

    counts = [
        counted(number, what)
        for number, what in ((examination.n_rows, "row"), (examination.n_sites, "site"))
        if number is not None
    ]
    console.print(f"[bold]{escape(path)}[/]: {', '.join([escape(examination.format), *counts])}")
    table = Table(box=None, pad_edge=False)
    for heading, wrap in (
        ("", True),
        ("column", False),
        ("found", False),
        ("rows", True),
        ("what to do", False),
    ):
        table.add_column(heading, no_wrap=wrap, overflow="fold")
    styles = {"error": "bold red", "warning": "yellow", "note": "dim"}
    for problem in examination.problems:
        rows = ", ".join(map(str, problem.rows)) + (", ..." if problem.count > len(problem.rows) > 0 else "")
        table.add_row(
            f"[{styles[problem.severity]}]{problem.severity}[/]",
            *map(escape, (problem.column, problem.found, rows, problem.remedy)),
        )
    if examination.problems:
        console.print(table)
    verdict = "no errors" if examination.usable else "not fit for use yet"
    console.print(f"{_tally(examination)}: {verdict}")


def _tally(examination: Examination) -> str:
    from talik.sources.problem import counted

    severities = [p.severity for p in examination.problems]
    counts = [(severities.count(s), s) for s in ("error", "warning", "note")]
    return ", ".join(counted(n, s) for n, s in counts)
