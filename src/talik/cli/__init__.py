"""The command line: thin. Each command imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import typer

from talik.cli.budget import audit, budget
from talik.cli.check import check
from talik.cli.compare import compare
from talik.cli.demo import demo
from talik.cli.design import design
from talik.cli.ensemble import app as ensemble
from talik.cli.fuse import app as fuse
from talik.cli.init import init
from talik.cli.inventory import app as inventory
from talik.cli.report import report
from talik.cli.run import run
from talik.cli.tem import app as tem
from talik.cli.thaw import app as thaw
from talik.cli.trends import trends
from talik.cli.upscale import app as upscale

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        from talik.provenance import code_version

        typer.echo(code_version())
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """How much CO2, CH4 and N2O does the northern permafrost region exchange with the atmosphere?

    Start with `talik demo`. Exit codes: 0 done, 1 some units of work failed, 2 bad input.
    """


app.command()(demo)
app.command()(init)
app.command()(run)
app.command()(budget)
app.command()(audit)
app.command()(report)
app.command()(check)
app.command()(trends)
app.command()(compare)
app.command()(design)
app.add_typer(upscale, name="upscale")
app.add_typer(tem, name="tem")
app.add_typer(inventory, name="inventory")
app.add_typer(thaw, name="thaw")
app.add_typer(ensemble, name="ensemble")
app.add_typer(fuse, name="fuse")
