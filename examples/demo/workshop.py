"""Where the tour's parts are: the library, the package, the compiler, and a place for files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stage import Broken

ROOT = Path(__file__).resolve().parents[2]
BLOB = ROOT / "tests/fixtures/msal/user.json"


def find_library() -> Path:
    """The library that was asked for, or the one that was built."""
    chosen = os.environ.get("TOKENCACHE_LIBRARY")
    built = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/libtokencache.so"
    path = Path(chosen) if chosen else built
    if path.is_file():
        return path.resolve()
    way_out = "check TOKENCACHE_LIBRARY" if chosen else "run `cargo build --release`, or set TOKENCACHE_LIBRARY"
    raise Broken(f"There is no library at {path}; {way_out}.")


def use_package(library: Path) -> None:
    """Let this process, and those it starts, import our package with exactly this library."""
    package = str(ROOT / "bindings/python/src")
    sys.path.insert(0, package)
    os.environ["TOKENCACHE_LIBRARY"] = str(library)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))


def compile_issuer(library: Path, workbench: Path) -> Path:
    """The C program, compiled and linked as any other user of the library would."""
    # The linker looks for one name, and the program for the other when it starts.
    for name in ("libtokencache.so", "libtokencache.so.1"):
        (workbench / name).symlink_to(library)
    program = workbench / "issuer"
    source = Path(__file__).with_name("issuer.c")
    command = [os.environ.get("CC", "cc"), "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-O2"]
    command += ["-I", str(ROOT / "include"), str(source), "-o", str(program)]
    command += ["-L", str(workbench), "-ltokencache", "-Wl,-rpath,$ORIGIN"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise Broken(f"There is no C compiler {command[0]!r}; install one, or name it in CC.") from None
    if done.returncode != 0:
        raise Broken(f"The C program did not compile: {done.stderr.strip()}")
    return program

