"""Times as the contract writes them.

What may come in: anything. What it never does: hand a `datetime` to anybody; the contract's times are strings.
"""

import re
from datetime import datetime, timedelta, timezone

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
# 0000-01-01 and 9999-12-31 less the widest offset: the years that can be written.
_EARLIEST = -62_167_219_200_000
_LATEST = 253_402_207_200_000
_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
# After so many years the calendar repeats; by it the year 0, which a datetime cannot hold, is reckoned.
_CYCLE = 400
_CYCLE_MILLIS = 146_097 * 86_400_000


def utc(value: object) -> str | None:
    """A time with an offset as the contract writes it: UTC, milliseconds. None for anything else."""
    parts = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if not parts:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = parts.groups()
    cycles = 1 if int(year) < _CYCLE else 0
    try:
        local = datetime(
            int(year) + cycles * _CYCLE,
            int(month),
            int(day),
            int(hour),
            int(minute),
            59 if second == "60" else int(second),
            int((fraction or "0")[:3].ljust(3, "0")) * 1000,
        )
    except ValueError:
        return None
    shift = (int(hours or 0) * 60 + int(minutes or 0)) * 60_000
    millis = (local - _EPOCH) // _MILLISECOND + (shift if sign == "-" else -shift)
    if not _EARLIEST <= millis - cycles * _CYCLE_MILLIS <= _LATEST:
        return None
    written = _EPOCH + millis * _MILLISECOND
    return f"{written.year - cycles * _CYCLE:04}-{written:%m-%dT%H:%M:%S}.{written.microsecond // 1000:03}Z"


def now() -> str:
    """This moment as the contract writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"
