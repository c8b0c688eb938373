"""Parameters that a population of pixels shares, with the first prior that their pixels had."""

from __future__ import annotations

from collections.abc import Sequence

from talik.errors import InputError
from talik.fusion.hierarchical import SHARED, Shared
from talik.fusion.parameters import PARAMETERS, SHAREABLE
from talik.fusion.prior import gaussians
from talik.fusion.switches import Switches, bounds


def shared_parameters(switches: Switches, names: Sequence[str] = SHARED) -> tuple[Shared, ...]:
    """Parameters by name, with the bounds and the Gaussian that pixels were inferred with.

    What maps say of a pixel (soil carbon, leaf carbon per area) is data and no part of this prior. InputError: a name
    that is not in `talik.fusion.parameters.SHAREABLE`.
    """
    if unknown := [name for name in names if name not in SHAREABLE]:
        raise InputError(
            f"population: {', '.join(unknown)} cannot be shared; choose from {', '.join(SHAREABLE)}."
        )
    held = {PARAMETERS[p].name: of for p, of in gaussians(switches)}
    row = {p.name: k for k, p in enumerate(PARAMETERS)}
    low, high = bounds(switches)
    return tuple(
        Shared(name, float(low[row[name]]), float(high[row[name]]), held.get(name)) for name in names
    )
