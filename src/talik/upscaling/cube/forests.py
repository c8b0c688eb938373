"""All models of a run, and their bootstrap members, brought to one set of predictor columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from talik.errors import ConfigError
from talik.files import whole_file, write_text
from talik.upscaling.bootstrap import Member
from talik.upscaling.jax_trees import DeviceForest, gpu
from talik.upscaling.learner import Fitted
from talik.upscaling.model import Model
from talik.upscaling.packed import Packed, predict_all
from talik.upscaling.training import Feature
from talik.upscaling.trees import Float32, Float64, Int64, Trees

_ARRAYS = tuple(f.name for f in fields(Packed) if f.name != "depth")


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """A learner that is no forest: it predicts by itself, more slowly."""

    fitted: Fitted
    columns: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """What predicts: a central model for each flux, then its members, in one order."""

    features: tuple[Feature, ...]
    targets: tuple[str, ...]
    units: tuple[str, ...]
    n_members: int
    """Bootstrap members of each flux."""
    models: tuple[Packed | Other | DeviceForest, ...]
    """Of flux f: models[f * (1 + n_members)] is central, the members follow."""

    @property
    def nbytes(self) -> int:
        return sum(m.nbytes for m in self.models if isinstance(m, Packed))

    @property
    def n_trees(self) -> int:
        return sum(m.n_trees for m in self.models if not isinstance(m, Other))

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n, models) predictions for rows of x (n, features)."""
        out = np.empty((len(x), len(self.models)))
        forests = [(k, m) for k, m in enumerate(self.models) if isinstance(m, Packed)]
        if forests and len(x):
            out[:, [k for k, _ in forests]] = predict_all([m for _, m in forests], x, threads)
        for k, model in enumerate(self.models):
            if isinstance(model, DeviceForest):
                out[:, k] = model.predict(x)
            elif isinstance(model, Other) and len(x):
                out[:, k] = model.fitted.predict(np.ascontiguousarray(x[:, model.columns]), threads)
        return out

    def on_gpu(self) -> Bundle:
        """The same with its forests on the first GPU.

        Raises:
            ConfigError: JAX sees no GPU.
        """
        device = gpu()
        if device is None:
            raise ConfigError(
                "--device gpu: JAX sees no GPU here. pip install 'talik[gpu]' on a machine with one, or leave it out."
            )
        held = tuple(DeviceForest(m, device) if isinstance(m, Packed) else m for m in self.models)
        return replace(self, models=held)

    def save(self, folder: Path) -> None:
        """Write the forests as plain arrays that every worker maps into its memory, so that they count once."""
        if any(isinstance(m, Other) for m in self.models):
            return
        packed = [m for m in self.models if isinstance(m, Packed)]
        for name in _ARRAYS:
            with whole_file(folder / f"{name}.npy") as part, part.open("wb") as stream:
                np.save(stream, np.concatenate([np.atleast_1d(getattr(m, name)).ravel() for m in packed]))
        sizes = [{name: list(np.shape(getattr(m, name))) for name in _ARRAYS} for m in packed]
        facts = {"sizes": sizes, "depth": [m.depth for m in packed]}
        write_text(folder / "forests.json", json.dumps(facts))

    def mapped(self, folder: Path) -> Bundle:
        """The same with the arrays of `folder`; they are read when used and shared between processes."""
        facts = json.loads((folder / "forests.json").read_text(encoding="utf-8"))
        flat = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in _ARRAYS}
        start = dict.fromkeys(_ARRAYS, 0)
        models = []
        for sizes, depth in zip(facts["sizes"], facts["depth"], strict=True):
            own: dict[str, Any] = {}
            for name in _ARRAYS:
                end = start[name] + int(np.prod(sizes[name]))
                own[name] = flat[name][start[name] : end].reshape(sizes[name])
                start[name] = end
            models.append(Packed(**own, depth=depth))
        return replace(self, models=tuple(models))


def bundle(paths: Sequence[Path], members: int | None = None) -> Bundle:
    """Bring model files to common columns; `members` of each are used (None: all there are, in each the same number).

    One file is held in memory at a time.

    Raises:
        ConfigError: two models of one flux, or fewer members than asked for.
    """
    heads = [Model.load(path, members=False) for path in paths]
    targets = [m.schema.target for m in heads]
    twice = {t for t in targets if targets.count(t) > 1}
    if twice:
        raise ConfigError(
            f"two models predict {', '.join(sorted(twice))}; give one model file for each flux."
        )
    union: dict[tuple[str, str | None, tuple[str, ...]], Feature] = {}
    for head in heads:
        for f in head.schema.features:
            old = union.setdefault(_identity(f), f)
            wider = {"low": min(old.low, f.low), "high": max(old.high, f.high)}
            union[_identity(f)] = old.model_copy(update=wider)
    place = {key: k for k, key in enumerate(union)}
    n_levels = np.array([len(f.levels) for f in union.values()], np.int16)
    own: list[list[Packed | Other]] = []
    for path in paths:
        model = Model.load(path, members=members != 0)
        columns = np.array([place[_identity(f)] for f in model.schema.features])
        central = _on_columns(model.fitted, columns, n_levels)
        own.append([central, *(member_of(m, columns, n_levels) for m in model.members[:members])])
        del model
    have = [len(o) - 1 for o in own]
    if members is not None and min(have) < members:
        raise ConfigError(
            f"{members} bootstrap members are asked for; the model of {targets[int(np.argmin(have))]} has {min(have)}. "
            f"Train it with `talik upscale train --members {members}`."
        )
    if members is None and len(set(have)) > 1:
        listed = ", ".join(f"{t} {h}" for t, h in zip(targets, have, strict=True))
        raise ConfigError(
            f"the models have different numbers of bootstrap members ({listed}); say how many with --members."
        )
    units = tuple(head.schema.units for head in heads)
    models = tuple(m for one in own for m in one)
    return Bundle(tuple(union.values()), tuple(targets), units, have[0], models)


def _identity(feature: Feature) -> tuple[str, str | None, tuple[str, ...]]:
    """What makes two predictors the same column."""
    return feature.name, feature.units, feature.levels


def on_union(trees: Trees, columns: Int64, n_levels: Any) -> Trees:
    """Trees that split on columns[feature] of rows with `n_levels`."""
    feature = np.where(trees.feature >= 0, columns[np.maximum(trees.feature, 0)], -1).astype(np.int16)
    return replace(trees, feature=feature, n_levels=n_levels)


def _on_columns(fitted: Fitted, columns: Int64, n_levels: Any) -> Packed | Other:
    trees = getattr(fitted, "trees", None)
    if isinstance(trees, Trees):
        return Packed.of(on_union(trees, columns, n_levels))
    return Other(fitted, columns)


def member_of(member: Member, columns: Int64, n_levels: Any) -> Packed | Other:
    """A member as trees on the predictors of the run: its recoded levels become other sets of levels."""
    trees = getattr(member.fitted, "trees", None)
    if not isinstance(trees, Trees):
        return Other(_Recoded(member), columns)
    levels = trees.levels.copy()
    for k, column in enumerate(member.columns):
        recode = member.recode[column]
        known = recode[recode >= 0]
        if trees.n_levels[k] and len(known):
            chosen = trees.feature == k
            old = trees.levels[chosen]
            new = np.zeros_like(old)
            for level, own in enumerate(known):
                new |= ((old >> np.uint64(own)) & np.uint64(1)) << np.uint64(level)
            levels[chosen] = new
    return Packed.of(on_union(replace(trees, levels=levels), columns[member.columns], n_levels))


@dataclass(frozen=True, slots=True, eq=False)
class _Recoded:
    """A member behind the interface of a fitted learner."""

    member: Member

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        return self.member.predict(x, threads)

    def predict_quantiles(self, x: Float32, levels: Sequence[float], threads: int = 1) -> Float64:
        return self.member.fitted.predict_quantiles(x, levels, threads)

    def arrays(self) -> dict[str, Any]:
        return self.member.fitted.arrays()

    def facts(self) -> dict[str, Any]:
        return self.member.fitted.facts()
