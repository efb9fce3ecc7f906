"""Which documents that come out of a component were made of which that went in.

What may come in: what a span says, which is all that went in and all that came out, and not what became what. Documents
are told apart by their ids, by the ids of their parents in the metadata, by the names of files in the metadata, and by
their order, in this order. What it never does: guess; where several files are possible it names them all.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from haystack import Document

from ragpulse.adapters.haystack._identity import names
from ragpulse.adapters.haystack._tracked import Tracked

Key = TypeVar("Key", bound=Hashable)

Owners = tuple[Tracked, ...]
"""The files that a document is of: one, or several where it cannot be told, or where they have the same text."""

PARENTS: Final = ("source_id", "__parent_id", "parent_id")
"""The metadata in which splitters name the document that they split."""


def documents_in(value: Any) -> list[Document]:
    """The documents of an input or output; of a joiner's input, which is a list of lists, too."""
    if isinstance(value, Document):
        return [value]
    if not isinstance(value, (list, tuple)):
        return []
    return [document for one in value for document in documents_in(one)]


def spread(count: int, owners: Sequence[Tracked]) -> list[Owners]:
    """The owners of equal documents: as many to each, in order, or all of them where that does not come out even."""
    if len(owners) > 1 and count % len(owners) == 0:
        return [(owners[place * len(owners) // count],) for place in range(count)]
    return [tuple(owners)] * count


def held(documents: Sequence[Document], known: Mapping[str, Sequence[Tracked]]) -> list[Owners | None]:
    """The owners of documents that went in; None for those that are not known."""
    found: list[Owners | None] = [None] * len(documents)
    for id, places in _grouped(document.id if document.id in known else None for document in documents).items():
        for place, owners in zip(places, spread(len(places), known[id]), strict=True):
            found[place] = owners
    return found


def made(
    documents: Sequence[Document],
    known: Mapping[str, Sequence[Tracked]],
    parents: Sequence[tuple[Document, Owners]],
) -> tuple[list[Owners], set[Tracked]]:
    """The owners of documents that came out, where documents went in, and those of which it is not clear."""
    found: list[Owners] = [()] * len(documents)
    links = [_link(document, known) for document in documents]
    for id, places in _grouped(links).items():
        for place, owners in zip(places, spread(len(places), known[id]), strict=True):
            found[place] = owners
    loose = {place: tuple(names(documents[place].meta or {})) for place, id in enumerate(links) if id is None}
    unclear: set[Tracked] = set()
    if not loose:
        return found, unclear
    candidates: defaultdict[tuple[str, ...], list[Owners]] = defaultdict(list)
    for parent, owners in parents:
        if owners:
            candidates[tuple(names(parent.meta or {}))].append(owners)
    everyone = [owners for group in candidates.values() for owners in group]
    for called, places in _grouped(loose.values()).items():
        own = [list(loose)[index] for index in places]
        for place, owners in zip(own, deal(len(own), candidates.get(called) or everyone), strict=True):
            found[place] = owners
            unclear |= set(owners) if len(owners) > 1 else set()
    return found, unclear


def deal(count: int, candidates: Sequence[Owners]) -> list[Owners]:
    """The owners of documents that look alike: in order where there are as many, otherwise all candidates."""
    distinct = tuple(dict.fromkeys(owner for owners in candidates for owner in owners))
    if len(distinct) > 1 and count == len(candidates):
        return list(candidates)
    return [distinct] * count


def _link(document: Document, known: Mapping[str, Sequence[Tracked]]) -> str | None:
    meta = document.meta or {}
    for id in (document.id, *(meta.get(key) for key in PARENTS)):
        if isinstance(id, str) and id in known:
            return id
    return None


def _grouped(values: Iterable[Key | None]) -> dict[Key, list[int]]:
    """The places of equal values; of None, none."""
    groups: defaultdict[Key, list[int]] = defaultdict(list)
    for place, value in enumerate(values):
        if value is not None:
            groups[value].append(place)
    return dict(groups)
