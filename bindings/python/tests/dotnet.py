"""Programs of .NET, where an SDK and their packages are at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unittest
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
#: The first major version of the SDK that can build ours.
_NEEDED_SDK = 10
#: Without builders that stay behind to be fast the next time: they would keep our pipes open.
_ENVIRONMENT = {**os.environ, "MSBUILDDISABLENODEREUSE": "1", "UseSharedCompilation": "false"}


def program(project: str) -> list[str]:
    """The command that runs what a project below the root builds; the test is skipped where it cannot be built."""
    command, missing = _built(project)
    if missing:
        raise unittest.SkipTest(f"{project} cannot be built ({missing})")
    return command


@cache
def _built(project: str) -> tuple[list[str], str]:
    if not (dotnet := shutil.which("dotnet")):
        return [], "dotnet is not installed"
    version = _run(dotnet, "--version").stdout.strip()
    if int(version.partition(".")[0] or 0) < _NEEDED_SDK:
        return [], f"it needs a .NET SDK {_NEEDED_SDK} or newer"
    options = ["-c", "Release", "-v", "quiet", "-t:Build", "-getProperty:TargetPath"]
    done = _run(dotnet, "build", *options, str(_ROOT / project))
    if done.returncode == 0:
        return [dotnet, done.stdout.strip()], ""
    # What NuGet says when no source has a package, or none has this version of it, or none answers.
    if packages := re.search(r"error (NU1(?:101|102|301): .*)", done.stdout + done.stderr):
        return [], packages[1]
    raise AssertionError(done.stdout + done.stderr)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
