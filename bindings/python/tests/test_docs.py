"""Every block of code that the pages show of Python runs, and prints what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tokencache import library

try:
    import msal_extensions
except ImportError:
    msal_extensions = None

_ROOT = Path(__file__).resolve().parents[3]


class Pages(unittest.TestCase):
    def run_page(self, *arguments: str) -> None:
        self.run_program(str(Path(__file__).with_name("docs_page.py")), *arguments)

    def run_program(self, *command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": f"{_ROOT}/bindings/python/src", "TOKENCACHE_LIBRARY": library.path}
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    @unittest.skipIf(msal_extensions is None, "MSAL and msal-extensions are not installed")
    def test_the_example_of_msal(self) -> None:
        said = self.run_program(str(_ROOT / "examples" / "python" / "msal_cache.py"))
        self.assertIn("the first server knows the tokens for mail.send, orders.read, orders.write", said)

    def test_the_section_of_the_readme(self) -> None:
        self.run_page(str(_ROOT / "README.md"), "**Python**")

    def test_a_ring_from_a_key_vault(self) -> None:
        self.run_page(str(_ROOT / "README.md"), "**A key vault.**")

    @unittest.skipIf(msal_extensions is None, "MSAL and msal-extensions are not installed")
    def test_the_page_of_python(self) -> None:
        self.run_page(str(_ROOT / "docs" / "python.md"))

    @unittest.skipIf(msal_extensions is None, "MSAL and msal-extensions are not installed")
    def test_the_way_from_msal_extensions(self) -> None:
        self.run_page(str(_ROOT / "docs" / "migrating.md"), "## From msal-extensions (Python)")


if __name__ == "__main__":
    unittest.main()
