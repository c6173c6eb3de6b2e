"""Connecting to Ray, or starting it on this machine, quietly: no dashboard, no usage statistics, no files of the user's."""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from distill.common.errors import InputError
from distill.common.terminal import one_line
from prompter.cluster.config import EngineSettings

PATIENCE = 10.0
"""Seconds in which a cluster must answer."""

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""Beginning of a connection of HTTP/2, which Ray speaks: its preface, and a frame of settings. The other side sends one."""

DEFAULT_PORTS = {False: 6379, True: 10001}
"""A cluster's own port, and that of its clients, whose addresses begin with ray://."""

OWN, OTHER = 0, 12
"""How `KNOCK` ends at a cluster's own port, and at one that does not know its calls: gRPC's number for that."""

KNOCK = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1])
except Exception as error:
    sys.exit(getattr(error, "rpc_code", None) or 1)
"""
"""Asks the port of a cluster who it is. In a process of its own: it may take half a minute, and writes to the terminal."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers run in their machine's own environment
    "RAY_AUTH_MODE": "token",  # else Ray writes a token into the user's home
}


@contextlib.contextmanager
def connected(config: EngineSettings, threads: int) -> Iterator[Any]:
    """Connect to a cluster, or start one of this machine alone; leave or stop it at the end.

    Args:
        config: Its address, and how many workers there shall be.
        threads: CPUs of a worker.

    Yields:
        The module `ray`.

    Raises:
        InputError: Ray is not installed, nothing answers at the address, or the cluster is of another version.
    """
    address = address_of(config)
    ray = _imported(alone=not address)
    if ray.is_initialized():
        raise InputError("engine: this process is connected to Ray already: call ray.shutdown() first")
    own = "" if address else tempfile.mkdtemp(prefix="ray-", dir="/tmp" if os.path.isdir("/tmp") else None)
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR}
    if address:
        _check_reachable(address)
        _check_port(address)
        options["address"] = address
    else:
        cpus = max(os.cpu_count() or 1, config.ray_workers * threads)
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        options |= {"_temp_dir": own, "_node_ip_address": "127.0.0.1"}
    try:
        with _signals_kept():
            _init(ray, address, options)
        yield ray
    finally:
        with contextlib.suppress(Exception):
            ray.shutdown()
        if own:
            shutil.rmtree(own, ignore_errors=True)


def address_of(config: EngineSettings) -> str:
    """Return the address of the cluster; "" for a Ray of this machine alone."""
    address = config.ray_address or os.environ.get("RAY_ADDRESS", "")
    return "" if address == "local" else address  # Ray's name for this machine alone


def _imported(alone: bool) -> Any:
    """Import Ray, told to be quiet: it reads these variables when it is imported, and passes them on to what it starts."""
    if alone and "ray" not in sys.modules:  # later it would read them in part
        for name, value in (QUIET | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}).items():
            os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            f"engine is 'ray', which is not installed here ({error}): pip install 'topic-prompter[ray]'"
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


def _check_reachable(address: str) -> None:
    """Check that something which may be Ray listens at an address: Ray itself waits for minutes.

    Raises:
        InputError: Nothing does, or something else, such as the page of Ray's dashboard.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto" or not port.isdecimal():
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(GREETING)
                if connection.recv(9)[3:4] != b"\x04":  # the kind of the first frame: settings
                    raise ConnectionError("something else answers there")
    except (OSError, OverflowError) as error:
        raise InputError(
            f"ray_address: no cluster of Ray answers at {address} ({error}): start one there (ray start --head), or leave "
            "--ray_address out for this machine alone"
        ) from None


def _check_port(address: str) -> None:
    """Check that a cluster's own port, or that of its clients, is named as such: Ray itself waits for half a minute.

    Default ports are believed.

    Raises:
        InputError: It is the other one.
    """
    place = address.removeprefix("ray://")
    of_clients, port = place != address, place.rpartition(":")[2]
    if address == "auto" or not port.isdecimal() or int(port) == DEFAULT_PORTS[of_clients]:
        return
    try:
        command = [sys.executable, "-c", KNOCK, place]
        found = subprocess.run(command, timeout=PATIENCE, capture_output=True, stdin=subprocess.DEVNULL).returncode
    except (OSError, subprocess.TimeoutExpired):
        return
    if of_clients and found == OWN:
        raise InputError(f"ray_address: {place} is the cluster's own port, not that of its clients: leave ray:// out")
    if not of_clients and found == OTHER:
        raise InputError(
            f"ray_address: {place} is not a cluster's own port: give HOST:6379, or, if this is the port of its clients, "
            f"ray://{place}"
        )


def _init(ray: Any, address: str, options: dict[str, Any]) -> None:
    """Call `ray.init`.

    Raises:
        InputError: It fails.
    """
    try:
        ray.init(**options)
    except Exception as error:  # of many kinds: ConnectionError, RuntimeError, ValueError, errors of gRPC
        reason = one_line(" ".join(str(error).split()))[:300] or type(error).__name__
        if "ersion mismatch" in reason:
            raise InputError(f"ray_address: {reason}: install the versions of the cluster here, or these there") from None
        if not address:
            raise InputError(f"engine: Ray does not start on this machine ({reason}): leave --engine out") from None
        raise InputError(
            f"ray_address: no connection to the cluster at {address} ({reason}): look at `ray status` there; HOST:6379 is a "
            "cluster's own port, and ray://HOST:10001 that of its clients; or leave --ray_address out for this machine alone"
        ) from None


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep this process's own handlers of requests to stop: Ray sets one of its own."""
    handlers: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # handlers are the main thread's
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                with contextlib.suppress(ValueError):
                    signal.signal(number, handler)


def room(ray: Any, gpus: int, cpus: int) -> int:
    """Return how many workers the machines of the cluster carry, whoever uses them now.

    Args:
        ray: The module, connected.
        gpus: GPUs of a worker.
        cpus: CPUs of a worker.
    """

    def of(machine: Callable[[str, float], float]) -> int:
        shares = [machine("CPU", 0) // cpus] + ([machine("GPU", 0) // gpus] if gpus else [])
        return int(min(shares))

    return sum(of(node["Resources"].get) for node in ray.nodes() if node["Alive"])
