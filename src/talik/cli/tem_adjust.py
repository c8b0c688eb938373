"""`talik tem adjust`: decomposition that fits sums over the region."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.cli.tem_check import checked_input, tem_project
from talik.workflow.conventions import JsonOption, bad_input_exits, print_json

if TYPE_CHECKING:
    from talik.tem.settings import Files, TemSettings

ADJUSTED = "adjusted.yaml"
"""Result in the output folder."""


def adjust(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section tem.")
    ],
    soil_carbon: Annotated[
        float | None,
        typer.Option(
            "--soil-carbon",
            metavar="KG",
            help="Soil carbon of the active layer that the equilibrium is to have, kg m-2, mean of permafrost cells.",
        ),
    ] = None,
    within: Annotated[
        float, typer.Option("--within", metavar="SHARE", help="How near to it is enough.")
    ] = 0.01,
    folder: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="A factorial run of experiments with attenuation_m."),
    ] = None,
    respired: Annotated[
        list[str] | None,
        typer.Option(
            "--respired",
            metavar="SCENARIO=PG",
            help="Carbon that thawed ground is to respire after the reference year; give it again for each scenario.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit decomposition to sums over the region, after the calibration on towers.

    With --soil-carbon: one factor on kdb of all communities, and adjusted.yaml with the key parameters for a section
    tem. With --from and --respired: the depth over which decomposition of thawed carbon fades (attenuation_m).
    """
    with bad_input_exits():
        from talik.errors import ConfigError

        if (soil_carbon is None) == (not respired) or (folder is None) != (not respired):
            raise ConfigError(
                "adjust: give --soil-carbon alone, or --from with --respired; they are fitted one after the other."
            )
        _, settings, files = tem_project(project)
        if soil_carbon is not None:
            told = _soil_carbon(project, settings, files, soil_carbon, within)
        else:
            told = _attenuation(project, settings, folder, [_target(text) for text in respired or []])
        if as_json:
            print_json(told)
        else:
            typer.echo(carbon_text(told) if soil_carbon is not None else attenuation_text(told))


def _soil_carbon(
    project: Path, settings: TemSettings, files: Files, target: float, within: float
) -> dict[str, Any]:
    import yaml

    from talik.files import write_text
    from talik.jax64 import keep_compiled
    from talik.tem.calibration.adjustment import adjusted_parameters, check_target, factor_for, settle, trial
    from talik.tem.inputs import read_columns, read_run
    from talik.workflow.project import load_project

    check_target(target, within)
    checked_input(settings, files, "tem-spinup")
    keep_compiled()
    columns = read_columns(settings, files.paths("land"))
    blocks = []
    for cells in columns.blocks(settings.block):
        sys.stderr.write(f"  cells {cells.start}..{cells.stop - 1} of {columns.lat.size}: soil heat\n")
        part = columns.part(cells)
        blocks.append(settle(part, read_run(settings, files, part), settings))

    def carbon_of(factor: float) -> Any:
        found = trial(blocks, settings, factor)
        sys.stderr.write(f"  kdb times {factor:.4g}: {found.mean:.4g} kg m-2\n")
        return found

    tried = factor_for(carbon_of, target, within)
    before, after = tried[0], tried[-1]
    parameters = adjusted_parameters(settings.parameters, columns.community, after.factor)
    out = write_text(
        load_project(project).output / ADJUSTED, yaml.safe_dump({"parameters": parameters}, sort_keys=False)
    )
    inside = sum(int(block.permafrost.sum()) for block in blocks)
    area = sum(float(block.weight[block.permafrost].sum()) for block in blocks)
    return {
        "factor": after.factor,
        "target": target,
        "before": before.mean,
        "after": after.mean,
        "by_community": {
            name: {"before": value, "after": after.by_community[name]}
            for name, value in before.by_community.items()
        },
        "trials": [{"factor": of.factor, "mean": of.mean, "still": of.still} for of in tried],
        "columns": int(columns.cell.size),
        "permafrost_columns": inside,
        "permafrost_million_km2": area * 1e-12,
        "parameters": parameters,
        "written": str(out),
    }


def _attenuation(
    project: Path, settings: TemSettings, folder: Path | None, targets: list[tuple[str, float]]
) -> dict[str, Any]:
    from talik.errors import ConfigError
    from talik.tem.calibration.adjustment import attenuation_for, respired_by_attenuation
    from talik.tem.diagnose.region import open_run

    if settings.permafrost is None or folder is None:
        raise ConfigError(
            f"{project}: tem has no section permafrost, whose attenuation_m is that of the reference experiment. Give "
            "the project of the factorial run."
        )
    with open_run(folder) as run:
        found = respired_by_attenuation(run, settings.permafrost.attenuation_m)
    scenarios = [str(name) for name in found["scenario"].values]
    out: dict[str, Any] = {}
    for scenario, target in targets:
        if scenario not in scenarios:
            raise ConfigError(
                f"--respired {scenario}={target:g}: {folder} has no such scenario; choose from: {', '.join(scenarios)}."
            )
        of = found.sel(scenario=scenario)
        depths = of["attenuation"].to_numpy()
        depth = attenuation_for(depths, of.to_numpy(), target, f"--respired {scenario}={target:g}")
        carbon = {f"{z:g}": float(c) for z, c in zip(depths, of.to_numpy(), strict=True)}
        out[scenario] = {"target": target, "attenuation_m": depth, "respired_by_attenuation_m": carbon}
    return {"respired": out}


def _target(text: str) -> tuple[str, float]:
    from talik.errors import ConfigError

    name, sign, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not (sign and name and 0.0 < value < float("inf")):
        raise ConfigError(
            f"--respired {text!r}: expected SCENARIO=PG with a number above 0, such as ssp585=19.7."
        )
    return name, value


def carbon_text(told: dict[str, Any]) -> str:
    """The factor, and soil carbon before and after, for a reader."""
    lines = [
        f"kdb times {told['factor']:.4g}, after {len(told['trials'])} trials",
        f"soil carbon of {told['permafrost_million_km2']:.3g} million km2 with permafrost, kg m-2: "
        f"{told['before']:.4g} -> {told['after']:.4g}",
    ]
    for name, of in told["by_community"].items():
        lines.append(f"  {name:28s} {of['before']:7.4g} -> {of['after']:.4g}")
    still = told["trials"][-1]["still"]
    if still < 1.0:
        lines.append(f"  note: pools still change in {100 * (1 - still):.1f} % of this land")
    return "\n".join([*lines, told["written"]])


def attenuation_text(told: dict[str, Any]) -> str:
    """The depth for each target, for a reader."""
    lines = []
    for scenario, of in told["respired"].items():
        held = ", ".join(f"{z} m {c:.4g}" for z, c in of["respired_by_attenuation_m"].items())
        lines.append(f"{scenario}: attenuation_m {of['attenuation_m']:.3g} for {of['target']:g} Pg ({held})")
    return "\n".join(lines)
