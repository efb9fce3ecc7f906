"""Which pipeline a process speaks for, from what it was told and from the environment.

The type is the one that was told, else `RAG_SERVICE`, else what the id says: `google-drive-pipeline` is `google_drive`.
The id is `RAG_PIPELINE_ID`, else that of the tracker which this process made, else follows from the type.

What may come in: anything as a type. What it never does: fail for want of a name: then it is `local_files`.
"""

import re
from typing import Any, Final

from ragpulse._endpoint import from_environment
from ragpulse.compat._hub import Hub
from ragpulse.compat._ledger import Ledger

DEFAULT_TYPE: Final = "local_files"
"""The type of a pipeline that never says what it is."""

_ledgers: dict[str, Ledger] = {}


def as_name(given: Any) -> str:
    """A name that a hub takes; empty for none."""
    text = "" if given is None else str(getattr(given, "value", given)).strip()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:128]


def type_of(pipeline_id: str) -> str:
    """The type that an id says."""
    return pipeline_id.removesuffix("-pipeline").replace("-", "_")


def id_of(pipeline_type: str) -> str:
    """The id that follows from a type."""
    return f"{pipeline_type.replace('_', '-')[:100]}-pipeline"


def is_known() -> bool:
    """Whether the environment, or a tracker, says for which pipeline this process speaks."""
    return bool(from_environment("RAG_SERVICE") or from_environment("RAG_PIPELINE_ID") or _ledgers)


def own_ledger(told_type: Any) -> Ledger:
    """The ledger of the pipeline that the environment names; `told_type` is what the program said of its type."""
    own_id = as_name(from_environment("RAG_PIPELINE_ID"))
    kind = as_name(told_type) or as_name(from_environment("RAG_SERVICE"))
    made = list(_ledgers.values())
    if not own_id and len(made) == 1 and kind in ("", made[0].hub.pipeline_type):
        return made[0]
    kind = kind or type_of(own_id) or DEFAULT_TYPE
    return ledger(own_id or id_of(kind), kind)


def ledger(pipeline_id: str, pipeline_type: str) -> Ledger:
    """The one ledger of a pipeline in this process."""
    # In one step, without a lock that a fork could leave held.
    return _ledgers.get(pipeline_id) or _ledgers.setdefault(pipeline_id, Ledger(Hub(pipeline_id, pipeline_type)))
