"""What a stock application of MSAL has to change: three lines."""

from __future__ import annotations

import difflib
from typing import Any

from identity_provider import AUTHORITY, CLIENT, TENANT, Transport
from msal_support import Msal
from support import shared

_STOCK = """\
import msal

app = msal.ConfidentialClientApplication(
    CLIENT,
    client_credential="made up",
    authority=AUTHORITY,
    token_cache=msal.SerializableTokenCache(),
    http_client=TRANSPORT,
    validate_authority=False,
    instance_discovery=False,
)
found = app.acquire_token_for_client(["api/.default"])
"""

_OURS = """\
import msal
import tokencache.msal

cache = tokencache.open(DOCUMENT)
app = msal.ConfidentialClientApplication(
    CLIENT,
    client_credential="made up",
    authority=AUTHORITY,
    token_cache=tokencache.msal.TokenCache(cache, tokencache.msal.app_key(CLIENT, TENANT)),
    http_client=TRANSPORT,
    validate_authority=False,
    instance_discovery=False,
)
found = app.acquire_token_for_client(["api/.default"])
"""


class Lines(Msal):
    def server(self, program: str) -> dict[str, Any]:
        """What a server that runs the program is left with."""
        names: dict[str, Any] = {"CLIENT": CLIENT, "TENANT": TENANT, "AUTHORITY": AUTHORITY}
        names.update(TRANSPORT=Transport(self.provider.port), DOCUMENT=shared(self.database))
        exec(program, names)
        if "cache" in names:
            self.addCleanup(names["cache"].close)
        return names

    def test_three_lines_let_every_server_know_what_one_was_given(self) -> None:
        lines = difflib.ndiff(_STOCK.splitlines(), _OURS.splitlines())
        changed = [line for line in lines if line.startswith("+ ")]
        self.assertLessEqual(len(changed), 3, changed)
        for program, fetched in ((_STOCK, 2), (_OURS, 1)):
            before = len(self.provider.granted)
            tokens = {self.server(program)["found"]["access_token"] for _ in range(2)}
            self.assertEqual((len(tokens), len(self.provider.granted) - before), (fetched, fetched))
