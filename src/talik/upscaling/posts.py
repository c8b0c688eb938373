"""Budget posts of the upscaled fluxes."""

from __future__ import annotations

from typing import Any

from talik.flux.table import FLUXES
from talik.posts.post import GASES, Post
from talik.posts.rows import row_of
from talik.upscaling.regional import require_region

POSTS = {"nee": ("upscaling.nee", "CO2"), "ch4": ("upscaling.ch4", "CH4")}
"""Name and gas of the post of a flux; the gross fluxes are no posts."""
COVERS = frozenset({"vegetation_soil", "winter"})
SOURCE = "talik upscaling"


def upscaling_posts(result: dict[str, Any], region: str, label: str) -> list[Post]:
    """Posts of a region from upscaling.json, positive to the atmosphere, with their 95 % limits.

    CoverageError: no such region, or predictors cover too little of it.
    """
    first, last = result["period"]
    posts = []
    for flux, (name, gas) in POSTS.items():
        found = result["fluxes"].get(flux)
        if found is None:
            continue
        held = require_region(found, region, f"upscaling, {flux}")
        up = FLUXES[found["variable"]].to_atmosphere
        low, high = sorted((up * held["low"], up * held["high"]))
        limits = found["limits"]
        posts.append(
            Post(
                id=name,
                gas=gas,
                mean=up * held["mean"],
                low=low,
                high=high,
                unit=GASES[gas],
                region=label,
                period=f"{first:04d}-{last:04d}",
                approach="upscaling",
                source=f"{SOURCE}, {found['learner']} of {found['n_sites']} sites",
                covers=COVERS,
                area_mkm2=held["area_km2"] / 1e6,
                note=f"Limits contain: {', '.join(limits['contain'])}. Not: {limits['not']}. Predictors cover "
                f"{100 * held['coverage']:.1f} % of the region.",
            )
        )
    return posts


def posts_file(result: dict[str, Any], region: str, label: str) -> dict[str, Any]:
    """The content of a posts file for `talik budget`: the posts, and each as the total of its gas by this approach."""
    posts = upscaling_posts(result, region, label)
    recipes = [{"id": "total.upscaling", "gas": post.gas, "sum": [post.id]} for post in posts]
    return {"posts": [row_of(post) for post in posts], "recipes": recipes}
