"""`talik upscale`: validate, train and explain flux models."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.cli.upscale_cube import predict, products
from talik.cli.upscale_text import print_explanation, print_summary
from talik.workflow.conventions import JsonOption, bad_input_exits, print_json, show

if TYPE_CHECKING:
    from talik.upscaling.folds import Folds
    from talik.upscaling.learner import Learner
    from talik.upscaling.training import Training

app = typer.Typer(
    no_args_is_help=True,
    help="Learn monthly fluxes from sites, say how good that is, and predict them everywhere.",
)


class Flux(StrEnum):
    """What to learn."""

    nee = "nee"
    gpp = "gpp"
    reco = "reco"
    ch4 = "ch4"


class Design(StrEnum):
    """What is left out."""

    loso = "loso"
    cluster = "cluster"
    knndm = "knndm"
    year = "year"
    forward = "forward"
    none = "none"


SitesArgument = Annotated[
    Path,
    typer.Argument(metavar="SITES", help="Site table: CSV, CSV.gz or Parquet, or a folder of FLUXNET files."),
]
FluxOption = Annotated[
    Flux | None, typer.Option("--flux", help="The flux to learn, for tables talik knows (see `talik check`).")
]
TargetOption = Annotated[str | None, typer.Option("--target", help="Column to learn, for any other table.")]
GroupOption = Annotated[
    str | None, typer.Option("--group", help="Column that names the site, with --target.")
]
PredictorsOption = Annotated[
    str | None, typer.Option("--predictors", help="Columns to learn from, A,B,C; not given: the known ones.")
]
CategoricalOption = Annotated[
    str,
    typer.Option(
        "--categorical", help="Predictors that are classes; text, month, vegetation_type always are."
    ),
]
LearnerOption = Annotated[
    str,
    typer.Option(
        "--learner",
        help="forest, extra-trees, quantile-forest, boosting, gaussian-process or stack.",
        show_default=True,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the learner; may be repeated."),
]
MtryOption = Annotated[
    str | None, typer.Option("--mtry", metavar="N|tune", help="Predictors drawn at a node of a forest.")
]
CvOption = Annotated[Design, typer.Option("--cv", help="What is left out to validate.")]
FilterOption = Annotated[
    list[str] | None,
    typer.Option("--filter", help="Named rule on the rows (see the guide); may be repeated."),
]
GridOption = Annotated[
    list[str] | None,
    typer.Option(
        "--grid", metavar="FILE:VAR,VAR", help="Grid to take predictors at the sites from; may be repeated."
    ),
]
WeightsOption = Annotated[
    float, typer.Option("--weights", min=0, max=1, help="0 counts rows alike, 1 sites alike, 0.5 between.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0)]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="Results do not depend on it.")]
FastOption = Annotated[
    bool,
    typer.Option("--fast", help="Forest, loso: trees that leave out sites of their own; 10 times quicker."),
]
DistanceOption = Annotated[
    float, typer.Option("--distance-km", min=0, help="cluster: towers this near go together.")
]
FoldsOption = Annotated[int, typer.Option("--folds", min=2, help="knndm, year, forward: number of folds.")]
PointsOption = Annotated[
    Path | None, typer.Option("--points", help="knndm: table with lat, lon of the prediction points.")
]


@app.command()
def evaluate(
    sites: SitesArgument,
    flux: FluxOption = None,
    learner: LearnerOption = "forest",
    cv: CvOption = Design.loso,
    mtry: MtryOption = None,
    target: TargetOption = None,
    group: GroupOption = None,
    predictors: PredictorsOption = None,
    categorical: CategoricalOption = "",
    grid: GridOption = None,
    filters: FilterOption = None,
    settings: SetOption = None,
    weights: WeightsOption = 0.0,
    seed: SeedOption = 448,
    threads: ThreadsOption = None,
    fast: FastOption = False,
    distance_km: DistanceOption = 50.0,
    folds: FoldsOption = 10,
    points: PointsOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for scores and held-out predictions; interrupted, it goes on."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """How good is a learner where it has not learnt? Scores of left-out sites, clusters, regions or years."""
    with bad_input_exits():
        from talik.upscaling.evaluate import evaluate as run

        training = _training(sites, flux, target, group, predictors, categorical, grid, filters, weights, cv)
        design = _design(training, cv, distance_km, folds, points, seed)
        chosen, tried = _learner(training, learner, settings, mtry, design, seed, _threads(threads), fast)
        summary, held = run(
            training,
            chosen,
            design,
            seed=seed,
            threads=_threads(threads),
            fast=fast,
            keep=out / "folds" if out else None,
            listen=_tell_folds,
        )
        if tried:
            summary["mtry_tried"] = tried
        if out is not None:
            from talik.files import whole_file, write_text

            out.mkdir(parents=True, exist_ok=True)
            with whole_file(out / "held_out.parquet") as part:
                held.table(training).to_parquet(part)
            write_text(out / "summary.json", _json(summary))
        if as_json:
            print_json(summary)
        else:
            show(lambda console: print_summary(console, summary, training.schema))


@app.command()
def train(
    sites: SitesArgument,
    model: Annotated[Path, typer.Option("--model", "-o", help="The model file to write.")],
    flux: FluxOption = None,
    learner: LearnerOption = "forest",
    cv: CvOption = Design.loso,
    mtry: MtryOption = None,
    target: TargetOption = None,
    group: GroupOption = None,
    predictors: PredictorsOption = None,
    categorical: CategoricalOption = "",
    grid: GridOption = None,
    filters: FilterOption = None,
    settings: SetOption = None,
    weights: WeightsOption = 0.0,
    seed: SeedOption = 448,
    threads: ThreadsOption = None,
    fast: FastOption = False,
    distance_km: DistanceOption = 50.0,
    folds: FoldsOption = 10,
    points: PointsOption = None,
    bootstrap: Annotated[
        str, typer.Option("--bootstrap", help="rows (as published) or sites, with --members.")
    ] = "sites",
    members: Annotated[int, typer.Option("--members", min=0, help="Bootstrap members.")] = 0,
    without_rows: Annotated[
        bool,
        typer.Option("--without-rows", help="Leave the training rows out of the file (no explain then)."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn from all sites and write a model file; validated first, so that it carries its scores and intervals.

    --cv none trains without validation.
    """
    with bad_input_exits():
        from talik.upscaling.evaluate import evaluate as run
        from talik.upscaling.model import train as fit

        training = _training(sites, flux, target, group, predictors, categorical, grid, filters, weights, cv)
        design = None if cv is Design.none else _design(training, cv, distance_km, folds, points, seed)
        chosen, _ = _learner(training, learner, settings, mtry, design, seed, _threads(threads), fast)
        summary, held = None, None
        if design is not None:
            summary, held = run(
                training,
                chosen,
                design,
                seed=seed,
                threads=_threads(threads),
                fast=fast,
                keep=model.with_suffix(".folds"),
                listen=_tell_folds,
            )
        made = fit(
            training,
            chosen,
            seed=seed,
            held=held,
            design=summary["design"] if summary else "",
            bootstrap=bootstrap,
            members=members,
            keep_rows=not without_rows,
            threads=_threads(threads),
            listen=lambda line: sys.stderr.write(line + "\n"),
        )
        made.save(model)
        if as_json:
            print_json({"model": str(model), **made.facts, "schema": made.schema.model_dump(mode="json")})
            return
        if summary:
            show(lambda console: print_summary(console, summary, training.schema))
        typer.echo(f"{model}: {learner}, {len(training.data)} rows, {training.n_sites} sites")


@app.command()
def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model file of `talik upscale train`.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for figures (PNG, SVG) and explanation.json.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Permutations of each predictor.")] = 100,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="Training rows whose Shapley values are taken.")
    ] = 300,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a model has learnt: importance, partial dependence, Shapley values, interactions, range of application."""
    with bad_input_exits():
        from talik.upscaling.explain import explain as run
        from talik.upscaling.model import Model

        loaded = Model.load(model)
        found = run(loaded, repeats=repeats, sample=sample, threads=_threads(threads))
        if out is not None:
            from talik.files import write_text
            from talik.report.model_figures import model_figures
            from talik.report.style import write_figures

            out.mkdir(parents=True, exist_ok=True)
            write_text(out / "explanation.json", _json(found))
            for path in write_figures(model_figures(found), out):
                sys.stderr.write(f"{path}\n")
        if as_json:
            print_json(found)
        else:
            show(lambda console: print_explanation(console, found))


app.command()(predict)
app.command()(products)


def _training(
    sites: Path,
    flux: Flux | None,
    target: str | None,
    group: str | None,
    predictors: str | None,
    categorical: str,
    grids: list[str] | None,
    filters: list[str] | None,
    weights: float,
    cv: Design,
) -> Training:
    from talik.upscaling.inputs import read_training

    return read_training(
        sites,
        flux=flux.value if flux else None,
        target=target,
        group=group,
        predictors=_names(predictors),
        categorical=_names(categorical),
        grids=grids or [],
        filters=filters or [],
        weights=weights,
        located=cv in (Design.cluster, Design.knndm),
    )


def _tell_folds(done: int, of: int) -> None:
    sys.stderr.write(f"fold {done} of {of}\n")


def _names(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def _threads(asked: int | None) -> int:
    import os

    if asked:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False)


def _design(
    training: Training, cv: Design, distance_km: float, folds: int, points: Path | None, seed: int
) -> Folds:
    from talik.errors import ConfigError
    from talik.upscaling.design import make_folds

    if cv is Design.none:
        raise ConfigError("--cv none evaluates nothing; choose loso, cluster, knndm, year or forward")
    return make_folds(training, cv.value, distance_km=distance_km, k=folds, points=points, seed=seed)


def _learner(
    training: Training,
    name: str,
    settings: list[str] | None,
    mtry: str | None,
    design: Folds | None,
    seed: int,
    threads: int,
    fast: bool,
) -> tuple[Learner, list[dict[str, float]]]:
    from talik.errors import ConfigError
    from talik.upscaling.evaluate import choose_learner

    given: dict[str, Any] = {}
    for item in settings or []:
        key, sep, value = item.partition("=")
        if not sep:
            raise ConfigError(f"--set {item!r}: expected NAME=VALUE")
        given[key.strip()] = _value(value)
    if mtry is not None and mtry != "tune":
        if not mtry.isdigit():
            raise ConfigError(f"--mtry {mtry!r}: expected a whole number or tune")
        given["mtry"] = int(mtry)
    return choose_learner(
        training, name, given, design, tune=mtry == "tune", seed=seed, threads=threads, fast=fast
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
