"""Steps of section `upscaling` that learn: training data, what was left out, the model of each flux."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from talik.upscaling.design import make_folds
from talik.upscaling.evaluate import choose_learner, hold_out
from talik.upscaling.inputs import read_training
from talik.upscaling.learners import make_learner
from talik.upscaling.model import train
from talik.upscaling.parallel import free_threads
from talik.upscaling.settings import UpscalingSettings
from talik.upscaling.training import Training
from talik.upscaling.training_file import (
    read_held_out,
    read_training_file,
    write_held_out,
    write_training,
)
from talik.workflow.unit import Job

TRAINING, HELD_OUT, MODELS = "upscaling-training", "upscaling-held-out", "upscaling-models"
"""Names of the steps."""


@dataclass(frozen=True)
class SiteFiles:
    """Where the site table and what goes with it stand."""

    sites: Path
    at_sites: tuple[str, ...]
    points: Path | None


def training_of(flux: str, settings: UpscalingSettings, files: SiteFiles) -> Training:
    """Training data of a flux, from the site table."""
    return read_training(
        files.sites,
        flux=flux,
        predictors=settings.predictors,
        categorical=settings.categorical,
        grids=files.at_sites,
        filters=settings.filters,
        weights=settings.weights,
        located=settings.limits.contain != "members" or settings.cv.design in ("cluster", "knndm"),
        accept_errors=settings.accept_errors,
    )


def training_unit(job: Job, settings: UpscalingSettings, files: SiteFiles) -> None:
    """Training data of a flux."""
    write_training(training_of(job.unit, settings, files), job.out, weights=settings.weights)


def held_out_unit(job: Job, settings: UpscalingSettings, files: SiteFiles, seed: int) -> None:
    """Predictions of a flux by models that have not learnt from what they predict."""
    training, cv = read_training_file(job.needs[TRAINING][job.unit]), settings.cv
    threads = free_threads()
    folds = make_folds(
        training, cv.design, distance_km=cv.distance_km, k=cv.folds, points=files.points, seed=seed
    )
    learner, tried = choose_learner(
        training,
        settings.learner,
        settings.settings,
        folds,
        tune=settings.tune,
        seed=seed,
        threads=threads,
        fast=cv.fast,
    )
    held = hold_out(training, learner, folds, seed, threads, fast=cv.fast)
    write_held_out(
        training,
        held,
        job.out,
        design=folds.name + (" (fast route)" if cv.fast else ""),
        note=folds.note,
        learner=learner.name,
        settings=learner.model_dump(mode="json"),
        mtry_tried=tried,
    )


def model_unit(job: Job, settings: UpscalingSettings, seed: int) -> None:
    """The model of a flux, learnt from all sites; its members are learnt where they predict."""
    training = read_training_file(job.needs[TRAINING][job.unit])
    learner, held, design = make_learner(settings.learner, settings.settings), None, ""
    if HELD_OUT in job.needs:
        held, told = read_held_out(job.needs[HELD_OUT][job.unit])
        learner, design = make_learner(told["learner"], told["settings"]), told["design"]
    train(training, learner, seed=seed, held=held, design=design, threads=free_threads()).save(job.out)
