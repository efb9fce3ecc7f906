"""The reducer and the apply rule: the state of a pipeline from its events, the same as in every other language.

What may come in: what a hub sends, by whatever way. What it never does: I/O, read a clock, or raise for what `decode`
has let through.

```python
from ragpulse.session import Message, Session, decode

session = Session()
message = decode("file:queued", payload)
if isinstance(message, Message):
    verdict, anomalies = session.handle(message)
print(session.status)  # as the payload of `pipeline:status`
```
"""

from ragpulse._reserved import is_reserved
from ragpulse.session._decode import Bad, Message, decode
from ragpulse.session._files import FileEntry, FileTable
from ragpulse.session._reducer import Anomaly, apply
from ragpulse.session._session import Cursor, Session, Step, Verdict, verdict
from ragpulse.session._settings import MAX_EXTRA_KEYS
from ragpulse.session._state import DEFAULT_LIMITS, PipelineState
from ragpulse.session._time import utc

__all__ = [
    "DEFAULT_LIMITS",
    "MAX_EXTRA_KEYS",
    "Anomaly",
    "Bad",
    "Cursor",
    "FileEntry",
    "FileTable",
    "Message",
    "PipelineState",
    "Session",
    "Step",
    "Verdict",
    "apply",
    "decode",
    "is_reserved",
    "utc",
    "verdict",
]
