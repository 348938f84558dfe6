"""``python -m tokencache``: the version, and which library this package has loaded."""

from __future__ import annotations

from pathlib import Path

from . import __version__
from .library import path


def loaded() -> str:
    """The file of the library; one that the system has found was asked for by its name alone."""
    if "/" in path:
        return path
    lines = Path("/proc/self/maps").read_text().splitlines()
    files = {line.partition("/")[2] for line in lines if "/" in line and path in line}
    return f"/{files.pop()}" if len(files) == 1 else path


if __name__ == "__main__":
    print(f"tokencache {__version__} from {loaded()}")
