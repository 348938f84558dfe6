"""Runs the code blocks of a page, one after the other, and compares what they print with the block that follows.

docs_page.py PAGE [SECTION], in a folder of its own. `…` in a block of output stands for anything. Where a page uses
MSAL, its requests go to a made-up provider on loopback.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import tokencache
from identity_provider import Provider, browser, rerouted

#: What `test_wheel.py` runs in its own way.
_ELSEWHERE = ("make wheel", "pip install ")
#: What the tests of another binding run.
_OTHERS = ("csharp",)


class Vault:
    """A key vault as the SDK of one has it, with a ring that was made up here."""

    class Secret(NamedTuple):
        value: str

    def get_secret(self, name: str) -> Secret:
        assert name == "tokencache-keyring"
        key = {"state": "active", "material": base64.b64encode(bytes(range(1, 33))).decode()}
        return self.Secret(json.dumps({"version": 1, "keys": [key]}))


class Block(NamedTuple):
    """A fenced block: its language, where it begins, and what is in it."""

    language: str
    line: int
    text: str


def blocks(page: str, section: str = "") -> list[Block]:
    """The blocks of a page, or of what comes between a line that begins with `section` and the next of its kind."""
    found: list[Block] = []
    inside, is_wanted = False, not section
    ends = r"\*\*|#" if section.startswith("**") else section.partition(" ")[0] + " "
    language, begin, kept = "", 0, []
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("```"):
            if inside and is_wanted:
                found.append(Block(language, begin, "".join(kept)))
            inside, language, begin, kept = not inside, line[3:], number, []
        elif inside:
            kept.append(line + "\n")
        elif section and re.match(ends, line):
            is_wanted = line.startswith(section)
    return found


def matches(printed: str, expected: str) -> bool:
    """Whether that is what was promised."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.S) is not None


def run_python(block: Block, names: dict[str, Any], page: str) -> str:
    """What a block prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # Lines are those of the page.
        exec(compile("\n" * block.line + block.text, page, "exec"), names)
    return printed.getvalue()


def check_console(block: Block) -> None:
    """Run what stands behind `$`, and compare what follows it."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.M):
        if not command.startswith(_ELSEWHERE):
            command = command.replace("python ", f"{sys.executable} ", 1)
            done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
            check(block, done.stdout + done.stderr, expected)


def check(block: Block, printed: str, expected: str) -> None:
    if not matches(printed, expected):
        sys.exit(f"The block of line {block.line} printed\n{printed}where the page says\n{expected}")


def main(path: str, section: str = "") -> None:
    found = blocks(Path(path).read_text(), section)
    if not found:
        sys.exit(f"{path} has no blocks{section and f' in {section}'}.")
    Path("alice.json").write_text(json.dumps(kept_elsewhere()))
    names: dict[str, Any] = {"__name__": "__main__", "browser": browser, "json": json, "tokencache": tokencache}
    names.update(vault=Vault(), document={"version": 1, "l2": {"kind": "sqlite", "path": "tokens.db"}})
    with Provider() as provider:
        with contextlib.suppress(ImportError):
            lead_to(provider.port)
        for block, following in zip(found, [*found[1:], Block("", 0, "")]):
            if block.language == "console":
                check_console(block)
            elif block.language == "python":
                printed = run_python(block, names, path)
                check(block, printed, following.text if following.language == "text" else "")
            elif block.language not in ("text", *_OTHERS):
                sys.exit(f"Nobody runs the block of line {block.line}, which is {block.language or 'of no language'}.")


def lead_to(port: int) -> None:
    """Have what MSAL makes of itself when it is given no transport reach the made-up provider."""
    import requests

    class Session(requests.Session):
        def request(self, method: Any, url: Any, headers: Any = None, **options: Any) -> requests.Response:
            url, headers = rerouted(port, url, headers)
            return super().request(method, url, headers=headers, **options)

    requests.Session = Session  # type: ignore[misc]


def kept_elsewhere() -> dict[str, Any]:
    """The blob of a program that has used msal-extensions so far."""
    token = {"credential_type": "AccessToken", "secret": "token", "target": "orders.read", "expires_on": "9999999999"}
    token.update(home_account_id="alice.contoso", environment="login.example", client_id="app", realm="contoso")
    return {"AccessToken": {"alice.contoso-login.example-accesstoken-app-contoso-orders.read": token}}


if __name__ == "__main__":
    main(*sys.argv[1:])
