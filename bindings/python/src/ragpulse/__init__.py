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

from ragpulse._endpoint import Problem
from ragpulse._reporter.handle import File, file_id
from ragpulse._reporter.reporter import AsyncReporter, Reporter
from ragpulse._reporter.retryable import is_retryable
from ragpulse._reporter.status import Rejected, ReporterStatus
from ragpulse._version import __version__

__all__ = [
    "AsyncReporter",
    "File",
    "Problem",
    "Rejected",
    "Reporter",
    "ReporterStatus",
    "__version__",
    "file_id",
    "is_retryable",
]
