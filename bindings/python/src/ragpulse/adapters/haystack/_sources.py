"""What a converter, or a router, did with each source that it was given.

What may come in: the sources, what came out, and what was logged meanwhile. What it never does: take a source for
converted, or for left out, where that cannot be told: then it says so.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack import Document

from ragpulse.adapters.haystack._identity import Identity, names, of_source, tokens
from ragpulse.adapters.haystack._lineage import Owners, deal
from ragpulse.adapters.haystack._tracked import Tracked

Find = Callable[[Identity], Tracked | None]


@dataclass
class Source:
    """One source of a call."""

    file: Tracked
    called: set[str]
    """What its documents may be called by."""


def sources_of(inputs: dict[str, Any], file: Callable[[Identity], Tracked]) -> list[Source]:
    """The sources of a call, with the metadata that the converter is to add."""
    given = inputs.get("sources")
    if not isinstance(given, (list, tuple)):
        return []
    meta = inputs.get("meta")
    found = []
    for place, source in enumerate(given):
        identity = of_source(source)
        if identity is None:
            continue
        own = meta[place] if isinstance(meta, list) and place < len(meta) else meta
        found.append(Source(file(identity), tokens(source, own if isinstance(own, dict) else {})))
    return found


def of_record(record: logging.LogRecord, sources: Sequence[Source], find: Find) -> Tracked | None:
    """Which source a record is about."""
    if record.levelno < logging.WARNING:
        return None
    identity = of_source(getattr(record, "source", None))
    if identity is not None:
        return find(identity)
    # Without a name it is clear only where there is but one.
    return sources[0].file if len({source.file for source in sources}) == 1 else None


def converted(documents: Sequence[Document], sources: Sequence[Source], failed: set[Tracked]) -> list[Owners]:
    """The owners of documents that came out of a converter. `failed`: of these the log says that they did."""
    found: list[Owners] = [()] * len(documents)
    called: dict[str, list[Owners]] = {}
    for source in sources:
        for name in source.called:
            called.setdefault(name, []).append((source.file,))
    groups: dict[str | None, list[int]] = {}
    for place, document in enumerate(documents):
        groups.setdefault(_name(document, called), []).append(place)
    # Those without a name that is known are what the others leave, so they come last.
    unnamed = groups.pop(None, [])
    for known, places in groups.items():
        for place, owners in zip(places, _dealt(len(places), called[str(known)], failed), strict=True):
            found[place] = owners
    if unnamed:
        taken = {owner for owners in found for owner in owners}
        left: list[Owners] = [(source.file,) for source in sources if source.file not in taken]
        for place, owners in zip(unnamed, _dealt(len(unnamed), left, failed), strict=True):
            found[place] = owners
    return found


def _dealt(count: int, candidates: list[Owners], failed: set[Tracked]) -> list[Owners]:
    if len(set(candidates)) > 1:
        candidates = [owners for owners in candidates if owners[0] not in failed] or candidates
    return deal(count, candidates)


def _name(document: Document, called: Mapping[str, object]) -> str | None:
    """The most exact of a document's names that a source has."""
    for name in names(document.meta or {}):
        for one in (name, os.path.basename(name)):
            if one in called:
                return one
    return None
