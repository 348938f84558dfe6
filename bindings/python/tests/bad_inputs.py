"""Runs one row of bad inputs: ``bad_inputs.py <row> <folder>``. Driven by tests/bad_inputs.rs, which names the rows.

What ctypes lets through is tried on the C functions themselves, the rest on the package.
"""

from __future__ import annotations

import sys

import bad_inputs_host
import bad_inputs_package
import bad_inputs_raw

ROWS = bad_inputs_raw.ROWS | bad_inputs_package.ROWS | bad_inputs_host.ROWS

if __name__ == "__main__":
    ROWS[int(sys.argv[1])]()
