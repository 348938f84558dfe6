"""A Redis of our own for the benchmarks."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time


@contextlib.contextmanager
def running():
    """The port of a Redis on the loopback that writes nothing to disk and goes with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as directory:
        command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(server, port)
            yield port
        finally:
            server.terminate()
            server.wait()


def _wait_for(server: subprocess.Popen, port: str) -> None:
    for _ in range(500):
        if server.poll() is not None:
            raise SystemExit(f"benches/run: redis-server ended with status {server.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port))):
            return
        time.sleep(0.01)
    raise SystemExit("benches/run: redis-server does not listen after 5 s")


def is_installed() -> bool:
    return all(shutil.which(tool) for tool in ("redis-server", "redis-benchmark", "redis-cli"))
