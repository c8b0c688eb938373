"""Results of every section, made by hand: few numbers, so that what a page says of them can be counted."""

from __future__ import annotations

from typing import Any

from made_project import WEST

from talik.report.results import Results


def approach(
    name: str, mean: float, low: float, high: float, truth: float, region: str = "domain"
) -> dict[str, Any]:
    return {
        "approach": name,
        "name": "",
        "region": region,
        "variable": "nee",
        "mean": mean,
        "low": low,
        "high": high,
        "truth": truth,
        "error": mean - truth,
        "inside": low <= truth <= high,
        "note": "",
    }


TRUTH: dict[str, Any] = {
    "variable": "nee",
    "units": "Tg year-1",
    "period": [2001, 2015],
    "regions": ["domain", WEST],
    "approaches": [
        approach("upscaling", -300.0, -400.0, -200.0, -250.0),
        approach("inversions", -240.0, -300.0, -180.0, -250.0),
        approach("fusion", -180.0, -210.0, -150.0, -250.0),
        approach("upscaling", -50.0, -60.0, -30.0, -40.0, WEST),
    ],
    "budget": [
        {
            "post": "bottom_up.natural",
            "gas": "CO2",
            "mean": -260.0,
            "low": -390.0,
            "high": -120.0,
            "truth": -250.0,
            "inside": True,
        }
    ],
    "pixels": [
        {"approach": "fusion", "pixel": f"p{k}", "quantity": "nee", "mean": 0.0, "low": -1.0, "high": 1.0,
         "truth": 0.5 * k, "inside": k < 3, "converged": k > 0}
        for k in range(4)
    ],
    "summary": ["Limits in this world hold the truth."],
}  # fmt: skip

UPSCALING: dict[str, Any] = {
    "talik_upscaling": 1,
    "period": [2001, 2015],
    "regions": ["domain", WEST],
    "fluxes": {
        "nee": {
            "learner": "forest",
            "n_rows": 4000,
            "n_sites": 60,
            "notes": ["accepted error: lat, lon: 0, 0 (4 rows)"],
            "cv": {
                "pooled": {"n": 4000, "r2_cor": 0.61, "nse": 0.6, "rmse": 14.2, "mae": 9.0, "mbe": -0.4},
                "design": "knndm",
                "design_note": "",
            },
            "applicability": {"threshold": 0.4, "share": 0.83, "regions": {"domain": 0.83}},
            "limits": {
                "level": 0.95,
                "contain": ["site bootstrap", "unseen places"],
                "not": "errors of all towers",
            },
            "variable": "nee",
            "units": "Tg C yr-1",
            "positive": "up",
            "regions": {
                "domain": {"area_km2": 20.3e6, "mean": -300.0, "low": -400.0, "high": -190.0, "annual": []},
                WEST: {"area_km2": 4e6, "mean": -50.0, "low": -60.0, "high": -30.0, "annual": []},
                "nowhere": {"area_km2": 1e6, "mean": None, "low": None, "high": None, "annual": []},
            },
        }
    },
}

TRENDS: dict[str, Any] = {
    "talik_trends": 1,
    "method": "Theil-Sen, Mann-Kendall with Zhang's prewhitening",
    "confidence": 0.95,
    "false_discovery_rate": 0.1,
    "datasets": {
        "forest": {
            "variables": {
                "nee": {
                    "units": "Tg yr-1",
                    "regions": {
                        "domain": {"slope": -1.5, "low": -3.0, "high": 0.1, "p": 0.06, "significant": False}
                    },
                }
            }
        }
    },
}

CHECK: dict[str, Any] = {
    "result": "fusion.nc",
    "counts": {"converged": 2, "map_quality": 0, "unconverged": 1, "failed": 1},
    "bad_input": 1,
    "passed": 0.5,
    "unknown": ["burned"],
    "pixels": [
        {"pixel": name, "quality": quality, "reason": reason, "rhat_parameters": 1.01, "ess_bulk": 400.0}
        for name, quality, reason in (
            ("a", "converged", ""),
            ("b", "converged", ""),
            ("c", "unconverged", "R-hat 1.3"),
            (WEST, "failed", "input: no radiation"),
        )
    ],
}

TOTALS: dict[str, Any] = {
    "rows": [
        {"region": "domain", "variable": "nee", "first_year": 2001, "last_year": 2015, "method": method,
         "mean": -180.0, "q2.5": -200.0 if method == "common quantile" else -185.0, "q97.5": -150.0}
        for method in ("common quantile", "independent")
    ]
}  # fmt: skip

AUDIT: dict[str, Any] = {
    "columns": 30,
    "years": 15,
    "closure": {"carbon": 1e-12, "nitrogen": 2e-13, "water": 3e-11, "heat": 4e-9},
    "notes": [f"Note of {WEST}."],
    "spin_up": {"years": 400, "still": 0, "fell_back": []},
}

ANSWER: dict[str, Any] = {
    "talik": 1,
    "period": {"first_year": 2001, "last_year": 2015},
    "seed": 0,
    "upscaling": {"sites": "t.csv", "fluxes": ["nee"], "learner": "forest", "cv": {"design": "knndm"}, "members": 20},
    "fusion": {"sampler": {"method": "hmc", "chains": 4}, "observations": {"lai": {"files": ["l.nc"]}}},
    "tem": {"permafrost": None},
    "trends": {"fluxes": {"forest": "f.nc"}},
    "truth": {},
}  # fmt: skip


def made_results() -> Results:
    """A project of upscaling, fusion, process model, trends and truth."""
    return Results(
        title="All of it",
        name="all",
        answer=ANSWER,
        upscaling=UPSCALING,
        trends=TRENDS,
        truth=TRUTH,
        tem=AUDIT,
        fusion=CHECK,
        fusion_regions=TOTALS,
        fusion_scores=[
            {"pixel": "a", "stream": "lai", "use": "assimilated", "n": "12", "bias": "0.1", "units": "1"}
        ],
        made_by={"code": "0.1.0", "config": "", "inputs": {WEST: {"sha256": "ab"}}},
        steps=(("upscaling", "k1"), ("fusion", "k2")),
        files=(
            "truth.json",
            "upscaling.json",
            "trends.json",
            "tem-audit.json",
            "fusion-check.json",
            "fusion-regions.json",
        ),
    )
