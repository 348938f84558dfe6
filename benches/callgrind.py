"""Instructions of one operation, counted by callgrind around benches/count.c."""

import tempfile
from pathlib import Path

from drivers import OUT, run

# How often each is called; many where the keys that are drawn make one call unlike the next.
CALLS = {"floor": 30_000, "hit": 30_000, "get_into": 10_000, "miss": 2000, "set": 3000, "set_msal": 1000, "seal": 200,
         "open": 200, "handle": 1000}

# Valgrind counts every byte that `rep stosb` writes as an instruction, which would hide all else in a wipe of 7,000.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-ERMS"}


# Each has another seed of its hashes and another turn of its threads; the least of them moves less than one.
RUNS = 3


def per_call(operation: str) -> float:
    """What the library does in one call, on the calling thread alone."""
    return min(run_once(operation) for _ in range(RUNS)) / CALLS[operation]


def run_once(operation: str) -> int:
    profile = OUT / f"callgrind.{operation}"
    with tempfile.TemporaryDirectory() as folder:
        # By default names stand in a profile once, and then as numbers.
        run(["valgrind", "--tool=callgrind", "--toggle-collect=counted", "--compress-strings=no", "--compress-pos=no",
             f"--callgrind-out-file={profile}", f"--log-file={profile}.log",
             OUT / "count", operation, CALLS[operation], folder], ENVIRONMENT)
    return calls_into_the_library(profile)


def calls_into_the_library(profile: Path) -> int:
    """All that was counted below the functions that the driver calls, and nothing of the driver itself."""
    total, callee, is_cost_of_call = 0, "", False
    for line in profile.open():
        if line.startswith("cfn="):
            callee = line[len("cfn="):]
        elif line.startswith("calls="):
            # The next line has what these calls cost, with all that they called.
            is_cost_of_call = callee.startswith(("tc_", "floor_"))
        elif is_cost_of_call:
            total += int(line.split()[-1])
            is_cost_of_call = False
    return total
