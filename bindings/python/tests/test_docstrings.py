"""Every public name says what it takes, what it answers, what goes wrong, and shows itself in use."""

from __future__ import annotations

import enum
import inspect
import unittest
from collections.abc import Iterator
from typing import Any

import tokencache

_MODULES = [tokencache]
try:
    import tokencache.msal
    import tokencache.msal_extensions

    _MODULES += [tokencache.msal, tokencache.msal_extensions]
except ImportError:
    pass

#: What a caller never makes.
_NO_EXAMPLE = {"Partition"}


def names() -> Iterator[tuple[str, Any]]:
    """The classes and functions of the modules, and the public methods and properties of those classes."""
    for module in _MODULES:
        for name, value in vars(module).items():
            is_ours = getattr(value, "__module__", "").startswith("tokencache")
            if name.startswith("_") or not is_ours or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            if module is not tokencache and value.__module__ != module.__name__:
                continue
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value) and not issubclass(value, (enum.Enum, Exception)):
                for base in value.__mro__:
                    if base.__module__.startswith("tokencache"):
                        for member, function in vars(base).items():
                            if not member.startswith("_") and inspect.isfunction(function):
                                yield f"{module.__name__}.{name}.{member}", function


class Docstrings(unittest.TestCase):
    def test_everything_is_documented(self) -> None:
        lacking = []
        for name, value in names():
            text = inspect.getdoc(value) or ""
            wanted = ["."]
            if inspect.isfunction(value):
                signature = inspect.signature(value)
                takes = [parameter for parameter in signature.parameters if parameter != "self"]
                wanted += ["Example:", "Args:"] if takes else ["Example:"]
                wanted += [f"    {parameter}" for parameter in takes if parameter not in ("args", "options")]
                wanted += ["Returns:"] if signature.return_annotation not in ("None", "NoReturn") else []
                if name.rpartition(".")[2] not in ("app_key", "release", "get_location"):
                    wanted += ["Raises:"]
                if any(signature.parameters[parameter].annotation is inspect.Parameter.empty for parameter in takes):
                    lacking.append(f"{name}: types")
            elif not issubclass(value, (enum.Enum, Exception)) and value.__name__ not in _NO_EXAMPLE:
                wanted += ["Example:"]
            lacking += [f"{name}: {part.strip()}" for part in wanted if part not in text]
        self.assertEqual(lacking, [])

    def test_exceptions_say_what_happened(self) -> None:
        kinds = [kind for name in tokencache.__all__ if isinstance(kind := getattr(tokencache, name), type)]
        errors = [kind for kind in kinds if issubclass(kind, Exception)]
        self.assertGreater(len(errors), 20)
        texts = [kind.__doc__ for kind in errors]
        self.assertNotIn(None, texts)
        self.assertEqual(len(set(texts)), len(texts))


if __name__ == "__main__":
    unittest.main()
