"""The library, the floor and the drivers in C: where they are, how they are built and run."""

import functools
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
OUT = TARGET / "benches"
LIBRARY = Path(os.environ.get("TOKENCACHE_LIBRARY", TARGET / "release/libtokencache.so")).resolve()
FLOOR = TARGET / "release/libtokencache_floor.so"
PEERS = TARGET / "release/libtokencache_peers.so"
COMPILER = os.environ.get("CC", "cc").split()


def run(command: list, environment: dict | None = None, **options) -> str:
    libraries = {"TOKENCACHE_LIBRARY": str(LIBRARY), "TOKENCACHE_FLOOR": str(FLOOR), "TOKENCACHE_PEERS": str(PEERS)}
    everything = os.environ | libraries | (environment or {})
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=everything, text=True,
                          stdout=subprocess.PIPE, **options)
    if done.returncode:
        if done.stderr:
            sys.stderr.write(done.stderr)
        sys.exit(f"{sys.argv[0]}: {Path(command[0]).name} ended with status {done.returncode}")
    return done.stdout


def build(*packages: str) -> None:
    """Builds these, but the library only where TOKENCACHE_LIBRARY does not name one."""
    OUT.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if package != "tokencache" or "TOKENCACHE_LIBRARY" not in os.environ:
            # The program is linked as a whole, which takes as long as all the rest and is not measured.
            run(["cargo", "build", "--release", "--locked", "--quiet", "-p", package, "--lib"])


def compile(name: str, *more: str) -> None:
    run([*COMPILER, "-std=gnu11", "-O2", "-Wall", *os.environ.get("CFLAGS", "").split(), "-Iinclude",
         f"benches/{name}.c", "benches/bench.c", "-o", OUT / name, "-rdynamic", *more, "-ldl", "-lm", "-lpthread"])


def machine() -> str:
    """The processor, how many of its threads, and the kernel."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").open() if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} threads, Linux {platform.release()}"


@functools.cache
def has_hiredis() -> bool:
    source = "#include <hiredis/hiredis.h>"
    return not subprocess.run([*COMPILER, "-E", "-"], input=source, text=True, capture_output=True).returncode
