"""RagPulse for Python: report what a RAG ingestion pipeline does to each file, and follow it live.

```python
from pathlib import Path
from ragpulse import Reporter

with Reporter("my-docs", "local_files") as pipeline:
    for path in Path("docs").glob("*.pdf"):
        with pipeline.file(path) as f:
            f.progress("embedding", 0.4)
```

`Reporter` and `AsyncReporter` report, `Subscriber` and `AsyncSubscriber` follow; `ragpulse.models` has the shapes of
the contract, `ragpulse.session` the state of a pipeline from its events.
"""

from typing import TYPE_CHECKING, Any

from ragpulse._endpoint import HubError, Problem
from ragpulse._reporter.handle import File, file_id
from ragpulse._reporter.reporter import AsyncReporter, Reporter
from ragpulse._reporter.retryable import is_retryable
from ragpulse._reporter.status import Rejected, ReporterStatus
from ragpulse._version import __version__

if TYPE_CHECKING:
    from ragpulse._subscriber.machine import Update
    from ragpulse._subscriber.subscriber import AsyncSubscriber, Subscriber

__all__ = [
    "AsyncReporter",
    "AsyncSubscriber",
    "File",
    "HubError",
    "Problem",
    "Rejected",
    "Reporter",
    "ReporterStatus",
    "Subscriber",
    "Update",
    "__version__",
    "file_id",
    "is_retryable",
]

# They need the models, which take a while to be made and are nothing that a reporter waits for.
_LATER = {"Subscriber": "subscriber", "AsyncSubscriber": "subscriber", "Update": "machine"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"ragpulse._subscriber.{_LATER[name]}"), name)
