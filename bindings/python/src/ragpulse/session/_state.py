"""The state of one pipeline, from and to the payload of `pipeline:status`.

What may come in: a payload that `decode` has let through. What it never does: change the payload, or lose what it does
not know: foreign keys are kept beside the known ones and written out again.
"""

from collections.abc import Mapping
from typing import Any, Final

from ragpulse.models import Counts, PipelineStatus
from ragpulse.session._files import FileEntry, FileTable, Json, split

DEFAULT_LIMITS: Final[Mapping[str, int]] = {"open": 1000, "ended": 200}
"""How many open (queued; processing) and ended files a state lists unless a snapshot says otherwise."""

COUNTED: Final = tuple(Counts.model_fields)
_FIELDS: Final = frozenset(PipelineStatus.model_fields)


class PipelineState:
    """The state of a pipeline. The reducer changes it in place; `write` gives what may be handed out."""

    __slots__ = ("counts", "extra", "files", "known")

    def __init__(self, known: Json, counts: Json, files: FileTable, extra: Json) -> None:
        self.known = known
        """The known keys but for `counts` and `files`; one without a value is not there."""
        self.counts = counts
        self.files = files
        self.extra = extra
        """Keys that the contract does not know: the pipeline's own, or of a later version."""

    @classmethod
    def opening(cls, event: Mapping[str, Any]) -> "PipelineState":
        """The state before the first event of a sequence."""
        known = {key: event[key] for key in ("pipeline_id", "pipeline_type", "epoch", "timestamp")}
        known |= {"seq": 0, "status": "online", "liveness": "live", "last_activity": event["timestamp"]}
        known |= {"total_processed": 0, "total_failed": 0, "limits": dict(DEFAULT_LIMITS)}
        return cls(known, dict.fromkeys(COUNTED, 0), FileTable(), {})

    @classmethod
    def read(cls, status: Mapping[str, Any]) -> "PipelineState":
        """From the payload of `pipeline:status`, without its `reason`, which is the message's."""
        known, extra = split(status, _FIELDS)
        files = FileTable(map(FileEntry.read, known.pop("files")))
        counts = dict(known.pop("counts"))
        known.pop("reason", None)
        return cls(known, counts, files, extra)

    @property
    def epoch(self) -> str:
        """The epoch in which `seq` counts."""
        return str(self.known["epoch"])

    @property
    def seq(self) -> int:
        """The last event that is part of this state; 0 for none."""
        return int(self.known["seq"])

    def write(self) -> Json:
        """The payload of `pipeline:status` for this state. Files that have not changed are the same objects again."""
        return {
            **self.known,
            "limits": dict(self.known["limits"]),
            "counts": dict(self.counts),
            "files": [file.write() for file in self.files.in_order()],
            **self.extra,
        }
