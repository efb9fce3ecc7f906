"""Times as pipelines of old write them, most without an offset, as the contract wants them.

What may come in: anything. What it never does: raise, or take a naive time for UTC: it is local time.
"""

import math
import re
from datetime import datetime, timezone
from typing import Any

_FRACTION = re.compile(r"\.(\d+)")
_MILLIS_FROM = 1e11
"""Numbers from here on are milliseconds since 1970, smaller ones seconds: in seconds it is the year 5138."""


def now() -> str:
    """This moment in UTC, with an offset that every Python reads."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def moment(value: Any) -> datetime | None:
    """A point in time, in UTC; None for what is none."""
    try:
        if isinstance(value, datetime):
            return value.astimezone(timezone.utc)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            seconds = value / 1000 if abs(value) >= _MILLIS_FROM else value
            return datetime.fromtimestamp(seconds, timezone.utc)
        if isinstance(value, str):
            # Python 3.10 reads neither `Z` nor fractions of other lengths than three and six.
            text = re.sub(r"[zZ]$", "+00:00", value.strip())
            text = _FRACTION.sub(lambda match: "." + match[1][:6].ljust(6, "0"), text)
            return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def utc(value: Any) -> str | None:
    """A time as the contract writes it: UTC, with an offset; None for what is none."""
    at = moment(value)
    return None if at is None else at.isoformat(timespec="milliseconds")
