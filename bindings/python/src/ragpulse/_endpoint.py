"""Where a hub is, with which token it is spoken to, and what it answers; address and token are checked once.

What may come in: any text for an address; answers of a hub, of a proxy before it, or none. What it never does: put the
token into an address or a log, follow a redirect, which would take the token elsewhere, or raise for an answer.

It imports what httpx would import with its first request: a fork in that moment would leave half a module in the child.
"""

import contextlib
import encodings.idna  # noqa: F401
import importlib.readers
import importlib.resources  # noqa: F401
import ipaddress
import json
import logging
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import certifi  # noqa: F401
import h11  # noqa: F401
import httpcore  # noqa: F401
import httpx

from ragpulse._token import FAILED, AsyncTokenSource, TokenFile, Tokens, is_token
from ragpulse._version import __version__

DEFAULT_URL: Final = "http://127.0.0.1:8103"
"""The hub that is spoken to when none is named."""
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What names of pipelines, their types and reporters are made of."""
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_MAX_RETRY_AFTER: Final = 600.0
# Where nothing is encrypted. Reading the certificates of the system for it would take a while.
_UNUSED: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class Problem:
    """Why the hub says no."""

    code: str
    """The hub's stable code, such as `invalid_event`."""
    detail: str
    """What is wrong, for people."""
    status: int
    """The status of HTTP."""
    retryable: bool = False
    """Whether the same may do later."""
    index: int | None = None
    """Which event of the batch, where it is about one."""
    field: str | None = None
    """Which field, where it is about one."""

    def __str__(self) -> str:
        return f"{self.detail} ({self.code})"


class HubError(Exception):
    """The hub refuses, for a cause that does not pass by itself."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem
        """What it says."""


@dataclass(frozen=True)
class Answer:
    """What came of a request: exactly one of `body`, `problem` and `failure` is there."""

    body: Any = None
    """The good answer, as JSON."""
    problem: Problem | None = None
    """The hub says no."""
    failure: str | None = None
    """Nobody answered, or something that is no hub."""
    retry_after: float | None = None
    """In how many seconds to come back, where the answer says so."""


_is_quiet: Final = ContextVar("ragpulse_is_quiet", default=False)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keeps httpx from telling each request of this package in the program's log. Those of the program it tells."""
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


logging.getLogger("httpx").addFilter(lambda _: not _is_quiet.get())


def name(what: str, given: str) -> str:
    """A name that a hub takes, or a `ValueError`."""
    if not NAME.fullmatch(given):
        raise ValueError(
            f"{given!r} cannot be a {what}: take 1 to 128 letters, digits, '.', '_' and '-', such as 'my-docs'"
        )
    return given


def from_environment(variable: str) -> str | None:
    """A variable of the environment; None where it is empty."""
    return os.environ.get(variable) or None


def _token_from_environment() -> "str | TokenFile | None":
    token, file = from_environment("RAGPULSE_TOKEN"), from_environment("RAGPULSE_TOKEN_FILE")
    if token and file:
        raise ValueError(
            "the environment gives a token twice, by RAGPULSE_TOKEN and by RAGPULSE_TOKEN_FILE, and they may differ: "
            "unset one of them"
        )
    return TokenFile(file) if file else token


class Endpoint:
    """A hub: its address and the tokens for it."""

    def __init__(self, url: str | None = None, token: "str | AsyncTokenSource | None" = None) -> None:
        url = url or from_environment("RAGPULSE_URL") or DEFAULT_URL
        token = token or _token_from_environment()
        advice = f"give one such as {DEFAULT_URL}, by `url` or RAGPULSE_URL"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is no address of a hub ({error}); {advice}") from None
        if parts.username or parts.password:
            raise ValueError("a hub's address holds no user or password, which would end up in logs: use `token`")
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None or not host:
            raise ValueError(f"{url!r} is no address of a hub; {advice}")
        if token is not None and not callable(token) and not is_token(token):
            raise ValueError("the token holds characters that no header can carry: take it as printed, in one line")
        self.url: Final = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        """The address, without a slash at its end."""
        self.tokens: Final = Tokens(token)
        """What it is spoken to with."""
        self._is_loopback = _is_loopback(host)
        # Made here, once, and not by the thread that sends: OpenSSL does not survive a fork while it makes one.
        self._verify = _UNUSED if scheme == "http" else httpx.create_ssl_context()

    def events(self, pipeline_id: str) -> str:
        """Where events of a pipeline are reported to and read from."""
        return f"{self.url}/api/pipelines/{pipeline_id}/events"

    def options(self, timeout: float) -> dict[str, Any]:
        """How an HTTP client for this hub is set up."""
        headers = {"user-agent": f"ragpulse-python/{__version__}", "accept": "application/json"}
        return {
            "headers": headers,
            "timeout": httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            "follow_redirects": False,
            # A proxy is somewhere else, where this address means another machine.
            "trust_env": not self._is_loopback,
            "verify": self._verify,
        }

    def __reduce__(self) -> Any:
        return _endpoint_again, (self.url, self.tokens.for_spawned())


def _endpoint_again(url: str, token: "str | AsyncTokenSource | None") -> Endpoint:
    return Endpoint(url, token)


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token, where there is one."""
    return {"authorization": f"Bearer {token}"} if token else {}


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after(headers: Mapping[str, str]) -> float | None:
    given = headers.get("retry-after", "")
    return min(float(given), _MAX_RETRY_AFTER) if re.fullmatch(r"[0-9]{1,9}", given) else None


def read(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """Reads an answer of HTTP."""
    retry_after = _retry_after(headers)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if 200 <= status < 300 and isinstance(body, dict):
        return Answer(body=body)
    if status >= 400 and isinstance(body, dict) and isinstance(body.get("code"), str):
        index, field = body.get("index"), body.get("field")
        problem = Problem(
            code=body["code"],
            detail=str(body.get("detail") or body.get("title") or body["code"]),
            status=status,
            retryable=body.get("retryable") is True,
            index=index if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else None,
            field=field if isinstance(field, str) else None,
        )
        return Answer(problem=problem, retry_after=retry_after)
    start = content[:200].decode("utf-8", "replace")
    return Answer(
        failure=f"no hub's answer came from this address: status {status}, {start!r}", retry_after=retry_after
    )


def unreachable(error: BaseException) -> Answer:
    """Nobody answered."""
    return Answer(failure=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def no_token(error: BaseException) -> Answer:
    """Nothing was sent."""
    return Answer(failure=f"{FAILED}{error}")


def too_long(status: int, most: int) -> Answer:
    """The answer was longer than any of a hub's."""
    return Answer(failure=f"no hub's answer came from this address: status {status}, more than {most} bytes")
