"""Every shape of the contract as a Pydantic model, and which model belongs to which name.

What may come in: payloads of this and of later versions: unknown words and fields are kept. What it never does: I/O.

```python
from ragpulse import models

event = models.decode("file:completed", {...})
if isinstance(event, models.FileCompleted):
    print(event.file.name, event.results.chunks_created)
event.model_dump()  # what came, without fields that have no value
```
"""

from collections.abc import Mapping
from typing import Any

from ragpulse.models import _generated
from ragpulse.models._base import Model
from ragpulse.models._generated import *  # noqa: F403
from ragpulse.models._generated import OtherEvent
from ragpulse.models._registry import EVENTS, LATEST_WINS, MESSAGES, PROTOCOL, REPORTS


def decode(event: str, data: Mapping[str, Any]) -> Model:
    """The payload of what a hub sent under a name, as its model; of a name that is not known, as `OtherEvent`.

    Raises `pydantic.ValidationError` where it is not of the shape that the contract says.
    """
    model = EVENTS.get(event) or MESSAGES.get(event) or OtherEvent
    return model.model_validate(data)


__all__ = [
    "EVENTS",
    "LATEST_WINS",
    "MESSAGES",
    "PROTOCOL",
    "REPORTS",
    "Model",
    "decode",
    *_generated.__all__,
]
