"""`talik init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talik.workflow.conventions import bad_input_exits

NAME = "project.yaml"


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where the file goes; made if it is not there.")
    ] = Path(),
    sections: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="SECTION",
            help="What it is for: budget, compare, ensemble, fusion, inventory, tem, ...; may be given several times.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a project.yaml that is there.")] = False,
) -> None:
    """Write a commented project.yaml to begin with: every setting, its default and what it means.

    Without --for it makes the published budget and its page, and runs as it is.
    """
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.files import write_text
        from talik.workflow.template import template

        path = folder / NAME
        text = template(folder.resolve().name or "project", sections or ())
        if path.exists() and not force:
            raise ConfigError(f"{path}: exists already. Give another folder, or --force to overwrite it.")
        write_text(path, text)
        typer.echo(f"{path}\nNext: edit it, then `talik check {path}` and `talik run {path}`.")
