"""`talik tem validate`: how good a calibration is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from talik.workflow.conventions import JsonOption, bad_input_exits, print_json


def validate(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="The project file of the calibration.")
    ],
    observed: Annotated[
        Path | None,
        typer.Option(
            "--observed",
            metavar="FOLDER",
            help="Observed active layers and ground temperatures; runs the model.",
        ),
    ] = None,
    within: Annotated[
        float, typer.Option("--within", metavar="KM", min=0.0, help="How far a station may be from a tower.")
    ] = 25.0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for the results; validation/ beside the calibration by default.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Scores, figures and a page of a calibration: years that were fitted and years that were left out.

    Reads calibration.json, calibration-months.csv and calibrated.yaml in the project's output folder. Writes
    validation.html, scores.csv, validation.json, figures/ (PNG and SVG), and ground.csv with --observed.
    """
    with bad_input_exits():
        from talik.errors import InputError
        from talik.tem.calibration.write import write_validation
        from talik.workflow.project import load_project

        if observed is not None and not observed.is_dir():
            raise InputError(
                f"--observed {observed}: no such folder. Name the folder that holds the observations."
            )
        loaded = load_project(project)
        told = write_validation(
            loaded, loaded.output / "validation" if out is None else out, observed, within
        )
        if as_json:
            print_json(told)
            return
        for note in (told["ground"] or {"notes": []})["notes"]:
            sys.stderr.write(f"  note: {note}\n")
        typer.echo("\n".join([*told["summary"], *told["written"]]))
