"""The learners by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from talik.errors import ConfigError
from talik.upscaling.boosting import Boosting
from talik.upscaling.forest import ExtraTrees, Forest, QuantileForest
from talik.upscaling.gaussian_process import GaussianProcess
from talik.upscaling.learner import Learner
from talik.upscaling.stack import Stack

_BUILT_IN: tuple[type[Learner], ...] = (Forest, ExtraTrees, QuantileForest, Boosting, GaussianProcess, Stack)


def learner_types() -> dict[str, type[Learner]]:
    """Every learner by name; packages add theirs by an entry point of the group `talik.learners`."""
    found = {kind.name: kind for kind in _BUILT_IN}
    for point in entry_points(group="talik.learners"):
        found[point.name] = point.load()
    return found


def make_learner(name: str, settings: Mapping[str, Any] | None = None) -> Learner:
    """The learner `name` with `settings` in place of its defaults.

    Raises:
        ConfigError: no such learner, or settings it does not have.
    """
    types = learner_types()
    if name not in types:
        raise ConfigError(f"learner {name!r} is unknown; choose one of {', '.join(types)}")
    try:
        return types[name].model_validate(dict(settings or {}))
    except ValidationError as err:
        known = list(types[name].model_fields)
        problems = "; ".join(_problem(".".join(map(str, e["loc"])), e, known) for e in err.errors())
        raise ConfigError(f"settings of learner {name}: {problems}. It has {', '.join(known)}.") from err


def _problem(name: str, error: Mapping[str, Any], known: Sequence[str]) -> str:
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']}"
    near = get_close_matches(name, known, 1, 0.6)
    return f"no setting {name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
