"""The tag of a wheel: the modules are of no version of Python, the library beside them is of one platform."""

from __future__ import annotations

import os

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel


class Carrier(Distribution):
    """Modules with something of a platform beside them."""

    def has_ext_modules(self) -> bool:
        """Not in the sense of Python, but to the same end."""
        return True


class Wheel(bdist_wheel):
    """For any Python 3; for the platform that ``TOKENCACHE_PLATFORM`` names, or that of this machine."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, ABI, platform."""
        return "py3", "none", os.environ.get("TOKENCACHE_PLATFORM") or super().get_tag()[2]


setup(cmdclass={"bdist_wheel": Wheel}, distclass=Carrier)
