"""Bias and coverage of every approach in worlds whose truth is known: `python -m benchmarks.osse_worlds run FOLDER`.

Each world is the demo's with another seed, without what is not judged here (fusion, trends, pages). Three variants
share its nature: `network`, towers as the real network stands; `random`, as many towers placed by area alone; `prior`,
inversions whose priors all take up too much (5 % of gross primary production). `summary FOLDER` prints the tables of
docs/science/osse.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SEEDS = 20
LEFT_OUT = ("fusion", "trends", "report", "tem")
"""Sections of the demo that are not judged, or take longest."""
FAR_NORTH = ("bands:68,84",)
"""Regions beside those of the demo: north of 68 N three quarters are tundra."""
VARIANTS: Mapping[str, dict[str, Any]] = {
    "network": {},
    "random": {"towers": {"placement": "random"}},
    "prior": {"inversions": {"prior_bias": -0.05}},
}


def project_of(folder: Path, seed: int, variant: str) -> Any:
    """The demo's project with a seed and the keys of a variant, without the sections that are left out."""
    from talik.osse.demo import write_project
    from talik.workflow import make_project
    from talik.yamlio import load_yaml

    content = dict(load_yaml(write_project(folder, seed)))
    for name in LEFT_OUT:
        content.pop(name)
    content["world"] = VARIANTS[variant]
    content["compare"] = {**content["compare"], "figures": False}
    for name in ("upscaling", "compare", "truth"):
        content[name] = {**content[name], "regions": [*content[name]["regions"], *FAR_NORTH]}
    content["compare"]["approaches"]["process"] = {"members": ["models"]}
    return make_project(content, folder)


def run(folder: Path, seeds: int = SEEDS, workers: int = 2) -> None:
    """Run the worlds that are not there yet; `truth.json` of each is kept as FOLDER/SEED-VARIANT.json."""
    from talik.workflow.whole import run_whole

    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for variant in VARIANTS:
            kept = folder / f"{seed:02d}-{variant}.json"
            if kept.exists():
                continue
            started = time.monotonic()
            here = folder / f"world-{seed:02d}"
            found = run_whole(project_of(here, seed, variant), workers=workers)
            if found.failed:
                first = found.failed[0]
                raise SystemExit(f"{first.step}/{first.unit}: {first.error}")
            kept.write_text((here / "truth.json").read_text(encoding="utf-8"), encoding="utf-8")
            sys.stderr.write(f"seed {seed}, {variant}: {time.monotonic() - started:.0f} s\n")


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Every score of every world: seed, variant, kind, name, region, variable, estimate, limits, truth."""
    for path in sorted(folder.glob("[0-9][0-9]-*.json")):
        seed, variant = path.stem.split("-", 1)
        told = json.loads(path.read_text(encoding="utf-8"))
        for row in told["approaches"]:
            keys = ("region", "variable", "mean", "low", "high", "truth")
            yield {"seed": seed, "variant": variant, "name": row["approach"], **{k: row[k] for k in keys}}
        for row in (*told["posts"], *told["budget"]):
            keys = ("mean", "low", "high", "truth")
            yield {
                "seed": seed,
                "variant": variant,
                "name": row["post"],
                "region": "posts",
                "variable": row["gas"],
                **{k: row[k] for k in keys},
            }


def table(folder: Path) -> pd.DataFrame:
    """By variant, region, variable and name: worlds, mean truth, bias and its standard error, RMS error, half width of
    the limits, and in how many worlds of those with limits they hold the truth."""
    found = pd.DataFrame(rows(folder))
    out = []
    for key, part in found.groupby(["variant", "region", "variable", "name"], sort=False):
        error = part["mean"] - part["truth"]
        held = part[part["low"].notna()]
        inside = (held["low"] <= held["truth"]) & (held["truth"] <= held["high"])
        out.append(
            {
                **dict(zip(("variant", "region", "variable", "name"), key, strict=True)),
                "worlds": len(part),
                "truth": part["truth"].mean(),
                "bias": error.mean(),
                "bias_se": error.std(ddof=1) / np.sqrt(len(part)) if len(part) > 1 else np.nan,
                "rmse": float(np.sqrt((error**2).mean())),
                "half_width": ((held["high"] - held["low"]) / 2).mean() if len(held) else np.nan,
                "inside": int(inside.sum()),
                "with_limits": len(held),
            }
        )
    return pd.DataFrame(out)


def summary(folder: Path) -> None:
    """Print `table` as Markdown, Tg year-1."""
    sys.stdout.write(
        "| variant | region | variable | name | worlds | truth | bias | RMS | half width | inside |\n"
    )
    sys.stdout.write("|---|---|---|---|---|---|---|---|---|---|\n")
    for r in table(folder).itertuples():
        wide = "" if np.isnan(r.half_width) else f"{r.half_width:.0f}"
        inside = f"{r.inside} of {r.with_limits}" if r.with_limits else ""
        sys.stdout.write(
            f"| {r.variant} | {r.region} | {r.variable} | {r.name} | {r.worlds} | {r.truth:.0f} | {r.bias:+.0f} ± "
            f"{r.bias_se:.0f} | {r.rmse:.0f} | {wide} | {inside} |\n"
        )


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "run":
        run(where, *(int(a) for a in sys.argv[3:4]))
    else:
        summary(where)
