"""The Terrestrial Ecosystem Model: soil heat, water, carbon and nitrogen of many cells, as pure JAX functions.

Importing it switches JAX to float64 for the whole process (arrays that are made as float32 stay so), and asks XLA to
compile loops whole. Import it before JAX computes anything: XLA reads its options once.
"""

from __future__ import annotations

import os

import jax

# without it XLA starts every operation of every layer and day apart, which doubles the time of the soil column
_WHOLE_LOOPS = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000"
_flags = os.environ.get("XLA_FLAGS", "")
if "xla_backend_extra_options" not in _flags:
    os.environ["XLA_FLAGS"] = f"{_flags} {_WHOLE_LOOPS}".strip()
jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
