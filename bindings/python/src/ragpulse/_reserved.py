"""Keys of a pipeline's status that the hub keeps itself.

What may come in: any key. What it never does: import anything of this package, so that whoever only reports need not
load the models.
"""

from typing import Final

RESERVED: Final = frozenset(
    {
        *("counts", "pipeline_id", "pipeline_type", "epoch", "seq", "timestamp", "received_at", "liveness"),
        *("last_activity", "shutdown_at", "offline_reason", "lease_seconds", "limits", "reason"),
        "seconds_until_next_check",
    }
)
"""Keys that the hub keeps, beside those that begin with `files` or `total_`."""


def is_reserved(key: str) -> bool:
    """Whether a pipeline may not set this key."""
    return key.startswith(("files", "total_")) or key in RESERVED
