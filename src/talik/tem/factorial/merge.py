"""The files of all experiments from the files of their blocks, a variable at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from talik.flux.dataset import CONVENTIONS
from talik.provenance import stamp
from talik.tem.merge import SOURCE, audit

STEP = "tem-factorial"
_COPIED = ("reference", "reference_year", "factors", "talik_inputs")
_FILL = np.float32(1e20)


def write_group(parts: Sequence[Path], group: str, out: Path, *, title: str, key: str) -> None:
    """One of the groups of all blocks as a file of its own; memory holds one variable of it."""
    with xr.open_dataset(parts[0], engine="netcdf4") as top:
        about = {name: top.attrs[name] for name in _COPIED}
    with xr.open_dataset(parts[0], engine="netcdf4", group=group) as first:
        large = [str(n) for n, v in first.data_vars.items() if v.dims != ("cell",)]
        small = [str(n) for n in first.data_vars if n not in large]
        axes = first.coords.to_dataset().drop_dims("cell").load()
    frame = (
        _joined(parts, group, small)
        .assign_coords(axes.coords)
        .assign_attrs(about, Conventions=CONVENTIONS, title=title, source=SOURCE)
    )
    stamp(frame, STEP, key).to_netcdf(out, engine="netcdf4")
    for name in large:
        whole = _joined(parts, group, [name])[[name]]
        chunks = tuple(n if d in ("year", "time", "cell") else 1 for d, n in whole[name].sizes.items())
        encoding: dict[str, Any] = {"zlib": True, "complevel": 2, "shuffle": True, "chunksizes": chunks}
        whole.drop_vars(list(whole.coords)).to_netcdf(
            out,
            engine="netcdf4",
            mode="a",
            encoding={name: {**encoding, "dtype": "float32", "_FillValue": _FILL}},
        )


def write_audit(parts: Sequence[Path], out: Path) -> None:
    """What the blocks tell of themselves, together."""
    told, bare = audit(parts), Counter[str]()
    for path in parts:
        with xr.open_dataset(path, engine="netcdf4") as ds:
            bare.update(json.loads(ds.attrs["audit"])["without_permafrost"])
    told["without_permafrost"] = dict(bare)
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8", newline="\n")


def _joined(parts: Sequence[Path], group: str, names: Sequence[str]) -> xr.Dataset:
    """Some variables of all blocks, side by side."""
    held = []
    for part in parts:
        with xr.open_dataset(part, engine="netcdf4", group=group) as ds:
            held.append(ds[list(names)].load())
    return xr.concat(held, dim="cell", data_vars="minimal", coords="minimal").drop_encoding()
