"""Whether trying again may help after an error, as far as the error itself tells.

What may come in: any exception of any library. What it never does: import one, or raise.
"""

from typing import Final

_STATUSES: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers of HTTP after which the same request may do later."""
_NAMES: Final = frozenset(
    {
        *("TimeoutError", "Timeout", "TimeoutException", "ConnectionError", "ConnectError", "TransportError"),
        *("APIConnectionError", "RateLimitError", "ServiceUnavailableError", "OperationalError", "InterruptedError"),
    }
)
"""Kinds of errors that pass, by the names that common libraries give them."""


def is_retryable(error: BaseException) -> bool:
    """Whether trying again may help.

    True for what says so of itself by an attribute `retryable`, for lost connections and timeouts, for answers of HTTP
    such as 429 and 503, and for what was interrupted from outside (Ctrl-C, a cancelled task).
    """
    try:
        said = getattr(error, "retryable", None)
        if isinstance(said, bool):
            return said
        if not isinstance(error, Exception):
            return True
        status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int):
            return status in _STATUSES
        return any(kind.__name__ in _NAMES for kind in type(error).__mro__)
    except Exception:
        return False
