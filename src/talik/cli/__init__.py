"""The command line: thin. Each command imports what it needs when it runs."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Greenhouse-gas exchange of the northern permafrost region."""
