"""What the tests of the seal share: rings, documents, and both kinds of L2 in the hands of somebody without a key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import sqlite3
import subprocess
import unittest
from contextlib import closing
from pathlib import Path
from typing import Any

import redis_server

PREFIX = "orders:"


def material(number: int) -> str:
    """Test key `number`, as a ring has it."""
    return base64.b64encode(bytes((number * 32 + at) % 256 for at in range(32))).decode()


def key_id(key: bytes) -> str:
    """The name of a key, by HKDF-SHA256 as the standard library makes it."""
    extracted = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(extracted, b"tokencache/key-id/1\x01", hashlib.sha256).hexdigest()[:32]


def name_of(number: int) -> str:
    """The name of test key `number`."""
    return key_id(base64.b64decode(material(number)))


def ring(**states: int) -> dict[str, Any]:
    """A ring of test keys, by state and number: `ring(active=2, retired=1)`."""
    return {"version": 1, "keys": [{"state": state, "material": material(number)} for state, number in states.items()]}


def sealing(keyring: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"algorithm": "aes-256-gcm", "keyring": keyring, **members}


class Sqlite:
    """Opened only while no cache of this process has the file: SQLite's locks do not hold between two copies of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.db"
        self.l2 = {"kind": "sqlite", "path": str(self.path)}

    def run(self, statement: str, *values: Any) -> Any:
        with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchone() if cursor.description else cursor.rowcount

    def bytes(self, name: str) -> bytes | None:
        row = self.run("SELECT value FROM entries WHERE key = ?", name.encode())
        return row[0] if row else None

    def put(self, name: str, data: bytes) -> None:
        self.run("DELETE FROM entries WHERE key = ?", name.encode())
        self.run("INSERT INTO entries VALUES (NULL, ?, abs(random()), 0, 0, 0, 0, 0, ?)", name.encode(), data)

    def keep(self, name: str) -> bool:
        """Whether an entry is there, which L2 keeps for ever from now on."""
        return self.run("UPDATE entries SET expires_at_ms = 0, ends_at_ms = 0 WHERE key = ?", name.encode()) == 1


class Redis:
    """A real server of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.server = redis_server.Server(folder / "redis")
        self.l2 = {"kind": "redis", "url": self.server.url}

    def bytes(self, name: str) -> bytes | None:
        return self.server.ask("HGET", name, "data")

    def put(self, name: str, data: bytes) -> None:
        self.server.ask("HSET", name, "absexp", -1, "sldexp", -1, "data", data)
        self.server.ask("PERSIST", name)

    def keep(self, name: str) -> bool:
        """Whether an entry is there, which L2 keeps for ever from now on."""
        script = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end redis.call('HSET', KEYS[1], 'absexp', '-1')"
        return self.server.ask("EVAL", script + " redis.call('PERSIST', KEYS[1]) return 1", 1, name) == 1


class Certificates:
    """RSA keys and certificates that openssl makes, and test keys wrapped for them by openssl: not by our library."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            raise unittest.SkipTest("openssl is not installed")
        self.folder = folder

    def make(self, name: str) -> None:
        self._run(f"req -x509 -nodes -days 30 -newkey rsa:2048 -subj /CN={name} -keyout {name}.key -out {name}.pem")

    def renew(self, name: str, renewed: str) -> None:
        """Make another certificate for the key of `name`."""
        self._run(f"req -x509 -days 60 -subj /CN={renewed} -key {name}.key -out {renewed}.pem")

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key")

    def wrap(self, data: bytes, name: str) -> dict[str, str]:
        public = self._run(f"x509 -in {name}.pem -pubkey -noout")
        der = self._run("pkey -pubin -pubout -outform DER", public)
        options = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256"
        wrapped = self._run(f"pkeyutl -encrypt -certin -inkey {name}.pem {options}", data)
        return {
            "to": hashlib.sha256(der).hexdigest(),
            "algorithm": "rsa-oaep-sha256",
            "data": base64.b64encode(wrapped).decode(),
        }

    def _run(self, line: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["openssl", *line.split()], cwd=self.folder, input=given, capture_output=True, check=True
        ).stdout


def scenes() -> dict[str, Any]:
    """The encryption cases that people met, as data that C plays as well."""
    script = Path(__file__).resolve().parents[3] / "tests/fixtures/seal/scenes.json"
    return json.loads(script.read_text(encoding="utf-8"))
