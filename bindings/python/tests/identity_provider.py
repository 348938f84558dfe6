"""A made-up identity provider over HTTP on loopback, and a transport by which stock MSAL reaches it.

It speaks as Microsoft's does: discovery, authorization codes, refresh tokens that rotate, claims challenges, client
credentials. MSAL insists on `https://`; the transport takes such an address to the loopback one.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Optional

HOST = "login.example"
#: A provider of many names: MSAL.NET stores under this one whichever it was asked for, MSAL Python under the one asked.
STORED = "login.windows.net"
_ALIASES = ["login.microsoftonline.com", STORED, "login.microsoft.com", "sts.windows.net"]
TENANT = "contoso"
AUTHORITY = f"https://{HOST}/{TENANT}"
CLIENT = "11111111-2222-3333-4444-555555555555"
#: The claims challenge of an API that wants a second factor.
WANTED = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c1"}}})


def home_account_id(user: str) -> str:
    return f"{user}.{TENANT}"


def application(port: int, token_cache: Any, host: str = HOST) -> Any:
    """A stock application of MSAL. The argument `token_cache` is all that knows of Tokencache."""
    import msal

    return msal.ConfidentialClientApplication(
        CLIENT,
        client_credential="made up",
        authority=f"https://{host}/{TENANT}",
        token_cache=token_cache,
        http_client=Transport(port),
        validate_authority=host in _ALIASES,
        instance_discovery=host in _ALIASES,
    )


class Transport:
    """What MSAL asks of an HTTP client."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> Answer:
        return self._send(url + ("?" + urllib.parse.urlencode(params) if params else ""), None, headers)

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> Answer:
        body = {name: value for name, value in (data or {}).items() if value is not None}
        return self._send(url, urllib.parse.urlencode(body).encode(), headers)

    def close(self) -> None: ...

    def _send(self, url: str, body: Optional[bytes], headers: Any) -> Answer:
        url, headers = rerouted(self._port, url, headers)
        request = urllib.request.Request(url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.read().decode())


def rerouted(port: int, url: str, headers: Any) -> tuple[str, dict[str, str]]:
    """The address on loopback for one of a provider, and headers that say which was meant."""
    scheme, _, host, path = url.split("/", 3)
    assert scheme == "https:", url
    named = {name: str(value) for name, value in (headers or {}).items()}
    return f"http://127.0.0.1:{port}/{path}", {**named, "X-Forwarded-Host": host}


def browser(address: str) -> dict[str, str]:
    """What alice's browser brings back from the provider."""
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(address).query))
    return {"code": f"alice {asked['nonce']}", "state": asked["state"]}


class Answer:
    def __init__(self, status: int, text: str) -> None:
        self.status_code, self.text, self.headers = status, text, {"Content-Type": "application/json"}

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise AssertionError(self.text)


class _Server(http.server.ThreadingHTTPServer):
    #: Of five, the standard library's, a burst of writers loses connections, and a client waits until it gives up.
    request_queue_size = 128


class Provider:
    """The provider, on a thread of its own, for as long as the `with` block lasts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        #: The refresh token of each user that is good.
        self.refresh_tokens: dict[str, str] = {}
        #: Of each grant that was answered: its type, the user, the scope.
        self.granted: list[tuple[str, str, str]] = []
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                host = self.headers["X-Forwarded-Host"]
                authority, endpoint = f"https://{host}/{TENANT}", f"https://{host}/{TENANT}/oauth2/v2.0"
                if "/discovery/instance" in self.path:
                    names = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
                    if host in _ALIASES:
                        names.update(preferred_cache=STORED, aliases=_ALIASES)
                    self._answer(200, {"tenant_discovery_endpoint": authority, "metadata": [names]})
                    return
                self._answer(
                    200,
                    {
                        "issuer": f"{authority}/v2.0",
                        "authorization_endpoint": f"{endpoint}/authorize",
                        "token_endpoint": f"{endpoint}/token",
                    },
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(*provider.grant(dict(urllib.parse.parse_qsl(body))))

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def grant(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Answer a token request; an access token says for whom and what it is, and whether with a second factor."""
        scopes = [s for s in asked.get("scope", "").split() if s not in ("openid", "profile", "offline_access")]
        kind, scope = asked["grant_type"], " ".join(scopes)
        with self._lock:
            self._number += 1
            number = self._number
            if kind == "client_credentials":
                self.granted.append((kind, "", scope))
                return 200, self._tokens("app", scope, number, "")
            if kind == "authorization_code":
                user, _, nonce = asked["code"].partition(" ")
            else:
                user, nonce = asked["refresh_token"].split("/")[0], ""
            if kind == "refresh_token" and asked["refresh_token"] != self.refresh_tokens.get(user):
                return 400, {"error": "invalid_grant", "error_description": "That refresh token has been used."}
            self.granted.append((kind, user, scope))
            self.refresh_tokens[user] = f"{user}/refresh/{number}"
            factor = "mfa" if "c1" in asked.get("claims", "") else "plain"
            return 200, self._tokens(user, scope, number, factor, nonce)

    def _tokens(self, user: str, scope: str, number: int, factor: str, nonce: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": f"{user}/{scope}/{factor}/{number}",
            "expires_in": 3600,
            "scope": scope,
        }
        if factor:
            claims = {"sub": user, "oid": user, "preferred_username": f"{user}@contoso.example", "aud": CLIENT}
            claims.update(iss=AUTHORITY, iat=int(time.time()), exp=int(time.time()) + 3600, tid=TENANT)
            claims.update({"nonce": nonce} if nonce else {})
            answer["id_token"] = ".".join([_encoded({"alg": "none"}), _encoded(claims), "signature"])
            answer["client_info"] = _encoded({"uid": user, "utid": TENANT})
            answer["refresh_token"] = self.refresh_tokens[user]
        return answer

    def __enter__(self) -> Provider:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _encoded(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
