"""Leave-one-site-out scores of a forest from one large forest: trees that leave out sites of their own."""

from __future__ import annotations

import numpy as np

from talik.errors import ConfigError
from talik.rng import named_rng
from talik.upscaling.forest import Forest
from talik.upscaling.grow import Sorted, grow
from talik.upscaling.learner import Data, all_but
from talik.upscaling.trees import Float64


def fast_leave_one_site_out(
    learner: Forest, data: Data, seed: int, *, parts: int = 40, trees: int = 160, threads: int = 1
) -> Float64:
    """(n,) predictions of each site by trees that have not seen it.

    Sites are dealt at random into `parts` parts, a tree is grown for each part on a bootstrap of the rows of the
    other parts, and this is done `trees` times with new deals. A site is predicted by its `trees` trees, which have
    also not seen the few sites dealt with it: with 40 parts a tree lacks 2.5 % of the sites instead of one site. The
    work is parts * trees trees instead of sites * trees.

    Raises:
        ConfigError: fewer than two sites.
    """
    n_sites = int(data.groups.max()) + 1
    parts = min(parts, n_sites)
    if parts < 2:
        raise ConfigError("leaving sites out needs at least two sites")
    shared, mtry = Sorted.of(data.x, data.n_levels), learner.drawn(data.x.shape[1])
    rng = named_rng(seed, "deals of sites")
    seeds = named_rng(seed, "trees").integers(0, 2**64, parts * trees, dtype=np.uint64)
    total = np.zeros(len(data))
    for deal in range(trees):
        part = (rng.permutation(n_sites) % parts)[data.groups]
        held = [np.flatnonzero(part == k) for k in range(parts)]
        grown = grow(
            shared,
            data.y,
            data.weights,
            [all_but(len(data), rows) for rows in held],
            seeds[deal * parts : (deal + 1) * parts],
            mtry=mtry,
            node_size=learner.node_size,
            random_splits=learner.random_splits,
            threads=threads,
        )
        for k, rows in enumerate(held):
            total[rows] += grown.only(k).predict(data.x[rows])
    return total / trees
