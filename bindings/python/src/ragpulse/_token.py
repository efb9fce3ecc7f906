"""Tokens that end: where the next one comes from, how long the last one is kept, and when it is asked for anew.

`Keeper` decides, with the time passed in: a token is kept until 30 s before the end that it names itself (`exp` of a
JSON Web Token, read without verifying), or until the hub answers 401 to it. `Tokens` asks the source: in a thread of
its own or in the event loop, one question at a time, and waits for it no longer than a time.

What may come in: any text as a token; a source that fails or hangs. What it never does: verify a token, show one in a
log, an error or a `repr`, or call a source in the thread of whoever reports.
"""

import asyncio
import base64
import inspect
import json
import logging
import math
import os
import pickle
import re
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio

log = logging.getLogger("ragpulse")

TokenSource = Callable[[], str]
"""Gives a token that holds now."""
AsyncTokenSource = Callable[[], "str | Awaitable[str]"]
"""The same, where it may also have to be awaited."""

AHEAD: Final = 30.0
"""How many seconds before its end a token is not kept any more. Of one that lives less than twice as long, the second
half."""
LEAST: Final = 1.0
"""The least time from one question to the next, in seconds, but for a refusal."""
_MAX_BYTES: Final = 16 * 1024
_SETTLED: Final = 2_000_000_000
"""A file that was written so lately (ns) may be written again without a trace: times of files are coarse."""
FAILED: Final = "there is no token: "
"""How a cause begins that is a source's."""


class NoToken(Exception):
    """There is none at present."""


def is_token(text: object) -> bool:
    """Whether a header can carry it."""
    return isinstance(text, str) and re.fullmatch(r"[!-~]+", text) is not None


def ends_at(token: str) -> float | None:
    """When a JSON Web Token ends by its `exp`, in seconds since 1970, without verifying it; None for any other text."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MAX_BYTES:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(end, bool) or not isinstance(end, (int, float)):
        return None
    try:
        end = float(end)
    except OverflowError:
        return None
    return end if math.isfinite(end) and end >= 0 else None


class TokenFile:
    """A source that is a file with a token in one line: looked at when a token is needed, read when it has changed."""

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path: Final = os.fspath(path)
        self._read: tuple[tuple[int, int, int], str] | None = None

    def __call__(self) -> str:
        try:
            data = os.stat(self.path)
            stamp = (data.st_mtime_ns, data.st_size, data.st_ino)
            read = self._read
            if read is not None and read[0] == stamp:
                return read[1]
            with open(self.path, "rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            raise NoToken(f"the token file {self.path} is not there; whoever hands out the tokens writes it") from None
        except OSError as error:
            raise NoToken(f"the token file {self.path} cannot be read: {error.strerror}") from None
        token = content.decode("utf-8", "replace").strip()
        if not token:
            raise NoToken(f"the token file {self.path} is empty; write it beside its place, and rename it")
        if len(content) > _MAX_BYTES or not is_token(token):
            raise NoToken(f"the token file {self.path} holds more than a token in one line")
        self._read = (stamp, token) if time.time_ns() - stamp[0] > _SETTLED else None
        return token

    def __reduce__(self) -> Any:
        return TokenFile, (self.path,)

    def __repr__(self) -> str:
        return f"TokenFile({self.path!r})"


def _next(now: float, left: float) -> float:
    return now + max(left - min(AHEAD, left / 2), LEAST)


class Keeper:
    """Keeps the last token of a source."""

    def __init__(self) -> None:
        self._token: str | None = None
        self._ends: float | None = None
        self._ask: float | None = None

    def take(self, token: str, now: float, clock: float) -> None:
        """The source gave this. `clock` is the same moment as `now`, in seconds since 1970."""
        end = ends_at(token)
        left = None if end is None else max(0.0, end - clock)
        self._token = token
        self._ends = None if left is None else now + left
        self._ask = None if left is None else _next(now, left)

    def kept(self, now: float) -> str | None:
        """The token, where the source need not be asked."""
        return self._token if self._ask is None or now < self._ask else None

    def make_do(self, now: float) -> str | None:
        """The source gave none: the token, where it has not ended yet. The source is asked again later."""
        if self._token is None or self._ends is None:
            return self._token
        if self._ends <= now:
            return None
        self._ask = _next(now, self._ends - now)
        return self._token

    def refuse(self, token: str | None) -> None:
        """The hub does not take this token. One that came since stays."""
        if self._token == token:
            self._token = self._ends = self._ask = None

    @property
    def last(self) -> str | None:
        """The last token, unless it was refused."""
        return self._token


class _Call:
    """One question to the source, in a thread of its own, so that a source that hangs can be let be."""

    def __init__(self, source: AsyncTokenSource) -> None:
        self._source = source
        self._done = threading.Event()
        self._token: object = None
        self._error: BaseException | None = None
        thread = threading.Thread(target=self._run, name="ragpulse token", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter ends, or has too many threads: whoever sends asks by himself.
            self._run()

    def _run(self) -> None:
        try:
            self._token = _awaited(self._source())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    @property
    def is_done(self) -> bool:
        """Whether there is an answer."""
        return self._done.is_set()

    def result(self, within: float) -> str | None:
        """The token; None while there is no answer. Raises what the source raised."""
        if not self._done.wait(within):
            return None
        return checked(self._token, self._error)


def _awaited(given: Any) -> object:
    if not inspect.isawaitable(given):
        return given

    async def wait() -> object:
        return await given

    return asyncio.run(wait())


def checked(token: object, error: BaseException | None = None) -> str:
    """What a source gave, if it is a token; otherwise why there is none."""
    if isinstance(error, NoToken):
        raise error
    if error is not None:
        raise NoToken(f"the token source raised {type(error).__name__}: {error}") from None
    if not is_token(token):
        # What it is is not told: it may be a token with a line break.
        raise NoToken(f"the token source gave no token that a header can carry, but a {type(token).__name__}")
    return str(token)


class Tokens:
    """The tokens of one client: a fixed one, none, or those of a source."""

    def __init__(self, given: "str | AsyncTokenSource | None", clock: Callable[[], float] = time.monotonic) -> None:
        self._fixed = given if isinstance(given, str) else None
        self._source = None if given is None or isinstance(given, str) else given
        self._clock = clock
        self._keeper = Keeper()
        self._begin()

    def _begin(self) -> None:
        """As new, in this process."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._call: _Call | None = None

    @property
    def renews(self) -> bool:
        """Whether there is a source, which may have another token after the hub refused the last."""
        return self._source is not None

    def forked(self) -> None:
        """This process was forked: who asked, or held a lock, is the parent's. The last token holds here, too."""
        self._begin()

    def refuse(self, token: str | None) -> None:
        """The hub does not take this token."""
        if self._source is not None:
            self._keeper.refuse(token)

    def get(self, within: float) -> str | None:
        """The token to send now; None where none was given. Waits so many seconds for a source at most.

        Raises `NoToken` where the source does not give one. A question that has not come back is not asked again.
        """
        if self._source is None:
            return self._fixed
        if self._pid != os.getpid():
            self.forked()
        with self._lock:
            kept = self._keeper.kept(self._clock())
            if kept is not None:
                return kept
            if self._call is None:
                self._call = _Call(self._source)
            call = self._call
            try:
                token = call.result(within)
            except NoToken as error:
                self._call = None
                return self._make_do(error)
            if token is None:
                return self._make_do(NoToken(f"the token source gave nothing within {within:g} s"))
            self._call = None
            self._keeper.take(token, self._clock(), time.time())
            return token

    async def aget(self, within: float) -> str | None:
        """As `get`, in an event loop: there an async function is awaited, and any other called in a thread."""
        source = self._source
        if source is None:
            return self._fixed
        if self._pid != os.getpid():
            self.forked()
        kept = self._keeper.kept(self._clock())
        if kept is not None:
            return kept
        try:
            with anyio.fail_after(within):
                if inspect.iscoroutinefunction(source):
                    token = checked(await source())
                else:
                    token = await self._called(source)
        except TimeoutError:
            return self._make_do(NoToken(f"the token source gave nothing within {within:g} s"))
        except NoToken as error:
            return self._make_do(error)
        except Exception as error:
            return self._make_do(NoToken(f"the token source raised {type(error).__name__}: {error}"))
        self._keeper.take(token, self._clock(), time.time())
        return token

    async def _called(self, source: AsyncTokenSource) -> str:
        """What the source gives, called in a thread of ours: one of the loop could keep the program from ending."""
        if self._call is None:
            self._call = _Call(source)
        pause = 0.001
        while not self._call.is_done:
            await anyio.sleep(pause)
            pause = min(2 * pause, 0.05)
        call, self._call = self._call, None
        return call.result(0.0) or ""

    def _make_do(self, error: NoToken) -> str:
        token = self._keeper.make_do(self._clock())
        if token is None:
            raise error
        log.debug("no new token could be had, and the last one does until it ends: %s", error)
        return token

    def for_spawned(self) -> "str | AsyncTokenSource | None":
        """What a spawned process goes on with: the source, or the last token where that cannot be carried over."""
        if self._source is None:
            return self._fixed
        try:
            pickle.dumps(self._source)
        except Exception:
            log.warning(
                "the token source cannot be carried over to a spawned process, which has only the present token: make "
                "it a function of a module"
            )
            return self._keeper.last
        return self._source

    def __repr__(self) -> str:
        return f"<Tokens of a source: {self.renews}>"
