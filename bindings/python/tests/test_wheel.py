"""A wheel that was installed where there is no source tree, under every Python at hand; and where it cannot run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

from tokencache import library

_ROOT = Path(__file__).resolve().parents[3]
_OLDEST, _NEWEST = 9, 13
#: Nothing that would lead to the source tree.
_BARE = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TOKENCACHE"))}


def interpreters() -> dict[int, str]:
    """Pythons by their minor version: those on the path, and those of pyenv."""
    found = {}
    for minor in range(_OLDEST, _NEWEST + 1):
        name = f"python3.{minor}"
        of_pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))
        for path in [*map(str, of_pyenv), shutil.which(name)]:
            if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                found[minor] = path
    return found


class Wheel(unittest.TestCase):
    def run_bare(self, *command: str | Path, folder: Path) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=folder, env=_BARE, capture_output=True, text=True, timeout=300, check=False
        )
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def test_it_runs_an_example_under_every_python(self) -> None:
        self.check(self.made(os.path.realpath(library.path)), "linux_x86_64")

    @unittest.skipUnless("TOKENCACHE_TEST_LONG" in os.environ, "make wheel builds the library anew: in the long form")
    def test_the_one_to_give_away_asks_for_no_newer_glibc_than_it_says(self) -> None:
        wheel = self.made()
        self.check(wheel, "manylinux_2_28_x86_64")
        if not shutil.which("objdump"):
            self.skipTest("objdump is not installed")
        with zipfile.ZipFile(wheel) as archive:
            packed = archive.extract("tokencache/libtokencache.so", self.folder)
        symbols = subprocess.run(["objdump", "-T", packed], capture_output=True, text=True, check=True).stdout
        wanted = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", symbols)}
        self.assertTrue(wanted)
        self.assertLessEqual(max(wanted), (2, 28))

    def made(self, *arguments: str) -> Path:
        command = [str(_ROOT / "tools" / "wheel"), *arguments]
        environment = {**os.environ, "WHEELS": str(self.folder)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if "from the Python registry" in done.stderr:
            self.skipTest("the tools that make a wheel could not be installed from the Python registry")
        self.assertEqual(done.returncode, 0, done.stderr)
        return Path(done.stdout.splitlines()[-1])

    def check(self, wheel: Path, platform: str) -> None:
        self.assertRegex(wheel.name, rf"^tokencache-[0-9.]+-py3-none-{platform}\.whl$")
        self.check_contents(wheel)
        pythons = interpreters()
        self.assertTrue(pythons)
        for minor, python in pythons.items():
            with self.subTest(python=python):
                self.check_installed(wheel, python, self.folder / str(minor))

    def check_contents(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        self.assertEqual([name for name in names if ".so" in name], ["tokencache/libtokencache.so"])
        self.assertIn("tokencache/py.typed", names)
        self.assertFalse([name for name in names if "test" in name or "pycache" in name])
        needed = re.findall(r"^Requires-Dist: (.*)$", metadata, re.M)
        self.assertEqual([need for need in needed if "extra ==" not in need], [])

    def check_installed(self, wheel: Path, python: str, folder: Path) -> None:
        self.run_bare(python, "-m", "venv", "--without-pip", folder, folder=folder.parent)
        there = folder / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", there, "install", "--quiet", "--no-index", "--no-deps", wheel]
        self.run_bare(*pip, folder=folder)
        said = self.run_bare(there, "-m", "tokencache", folder=folder)
        self.assertRegex(said, r"^tokencache \d+\.\d+\.\d+ from /")
        self.assertTrue(said.strip().endswith("site-packages/tokencache/libtokencache.so"), said)
        self.assertTrue(Path(said.split(" from ")[1].strip()).is_relative_to(folder.resolve()), said)
        shutil.copy(_ROOT / "examples" / "python" / "hello.py", folder / "hello.py")
        self.assertIn("alice: ", self.run_bare(there, "hello.py", folder=folder))


class ElsewhereThanLinux(unittest.TestCase):
    """Values that other systems would give, since only one is at hand."""

    def imported(self, system: str, machine: str, libc: tuple[str, str], bits: int = 64, **more: str) -> str:
        program = (
            "import platform, sys\n"
            f"platform.system = lambda: {system!r}\n"
            f"platform.machine = lambda: {machine!r}\n"
            f"platform.libc_ver = lambda *_: {libc!r}\n"
            f"sys.maxsize = 2**{bits - 1} - 1\n"
            "try: import tokencache\n"
            "except ImportError as error: print(error)\n"
            "else: print('imported')\n"
        )
        environment = {**_BARE, "PYTHONPATH": str(Path(library.__file__).parents[1]), **more}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_one_sentence_says_what_is_missing(self) -> None:
        needs = "Tokencache runs on 64-bit Linux on x86_64 with glibc 2.28 or newer; this is "
        for given, here in [
            (("Darwin", "arm64", ("", "")), "Darwin on arm64."),
            (("Windows", "AMD64", ("", "")), "Windows on AMD64."),
            (("Linux", "aarch64", ("glibc", "2.36")), "Linux on aarch64 with glibc 2.36."),
            (("Linux", "x86_64", ("glibc", "2.17")), "Linux on x86_64 with glibc 2.17."),
            (("Linux", "x86_64", ("", "")), "Linux on x86_64 without glibc."),
            (("", "", ("", "")), "an unknown system on an unknown processor."),
            (("Linux", "x86_64", ("glibc", "2.31"), 32), "Linux on x86_64 with glibc 2.31, in a Python of 32 bits."),
        ]:
            self.assertEqual(self.imported(*given), needs + here)

    def test_a_library_that_was_named_is_loaded_all_the_same(self) -> None:
        there = {"TOKENCACHE_LIBRARY": library.path}
        self.assertEqual(self.imported("Linux", "aarch64", ("glibc", "2.36"), **there), "imported")
        self.assertNotIn("Tokencache runs on", self.imported("Linux", "x86_64", ("glibc", "2.28")))
        self.assertIn("TOKENCACHE_LIBRARY is", self.imported("Linux", "x86_64", ("", ""), TOKENCACHE_LIBRARY="/none"))


if __name__ == "__main__":
    unittest.main()
