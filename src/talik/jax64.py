"""JAX in float64 with whole loops, for the process models; import it before JAX computes anything.

Importing it switches JAX to float64 for the whole process (arrays that are made as float32 stay so), and asks XLA to
compile loops whole: XLA reads its options once.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

import jax

# without it XLA starts every operation of every layer and day apart, which doubles the time of a soil column
_WHOLE_LOOPS = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000"
_flags = os.environ.get("XLA_FLAGS", "")
if "xla_backend_extra_options" not in _flags:
    os.environ["XLA_FLAGS"] = f"{_flags} {_WHOLE_LOOPS}".strip()
jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]


def keep_compiled() -> None:
    """Keep compiled functions in the user's cache, unless JAX was told where: the next run starts at once."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(_cache_folder()))  # type: ignore[no-untyped-call]


def _cache_folder() -> Path:
    """A folder for this kind of processor: code compiled for another may not run here."""
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    info = Path("/proc/cpuinfo")
    about = platform.processor() + platform.machine()
    if info.exists():
        about = next((line for line in info.read_text().splitlines() if line.startswith("flags")), about)
    return root / "talik" / f"jax-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
