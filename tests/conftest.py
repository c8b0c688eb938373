"""Shared fixtures: real data by one door, and no network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # no test is a measure of time
settings.load_profile("untimed")

# XLA compiles three times as fast without optimising, and compiling is most of what the tests of the process model do;
# worker processes inherit it
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

LOOPBACK = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::"}  # noqa: S104
_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def _refuse_outside(sock: socket.socket, address: object) -> None:
    if sock.family == getattr(socket, "AF_UNIX", None):
        return
    host = address[0] if isinstance(address, tuple) else address
    if str(host) not in LOOPBACK and not str(host).startswith("127."):
        raise RuntimeError(f"a test tried to reach {address!r}; tests may use loopback and Unix sockets only")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets to anything but this machine raise."""

    def connect(self: socket.socket, address: object) -> None:
        _refuse_outside(self, address)
        return _connect(self, address)

    def connect_ex(self: socket.socket, address: object) -> int:
        _refuse_outside(self, address)
        return _connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the real test data (never part of the repository)."""
    root = Path(os.environ.get("TALIK_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        reason = f"no test data at {root}; set TALIK_SHARED to the folder that holds data/"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return root


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """A function that waits until a condition holds; an assertion fails if it does not within three minutes."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 180.0
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture
def computing_nothing() -> Callable[[], AbstractContextManager[object]]:
    """`with computing_nothing():` fails the test if dask computes anything inside."""
    import dask

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("computed early")

    return lambda: dask.config.set(scheduler=refuse)


@pytest.fixture
def dask_cluster(
    tmp_path: Path, wait_for: Callable[[Callable[[], bool]], None]
) -> Iterator[Callable[..., tuple[str, list[subprocess.Popen[bytes]]]]]:
    """Starts a real scheduler and real workers (two of one thread) on this machine: address and worker processes."""
    started: list[subprocess.Popen[bytes]] = []

    def start(n_workers: int = 2, threads: int = 1) -> tuple[str, list[subprocess.Popen[bytes]]]:
        address_file = tmp_path / "scheduler.json"
        dask, host = [sys.executable, "-m", "dask"], ["--host", "127.0.0.1", "--no-dashboard"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
        command = [*dask, "scheduler", *host, "--port", "0", "--scheduler-file", str(address_file)]
        started.append(subprocess.Popen(command, **quiet))  # type: ignore[call-overload]
        wait_for(lambda: address_file.exists() and address_file.read_text().strip().endswith("}"))
        address = json.loads(address_file.read_text())["address"]
        one = ["--nworkers", "1", "--nthreads", str(threads), "--no-nanny", "--memory-limit", "0"]
        command = [*dask, "worker", address, *host, *one]
        workers = [subprocess.Popen(command, **quiet) for _ in range(n_workers)]  # type: ignore[call-overload]
        started.extend(workers)
        return address, workers

    yield start
    for process in reversed(started):
        process.kill()
        process.wait()
