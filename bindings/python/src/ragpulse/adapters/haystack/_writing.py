"""Which documents of a call a writer wrote, and which were in the store before.

What may come in: the ids in the order in which they were given, how many the writer says it wrote, and, where the store
was asked, which it had. What it never does: say which where the numbers allow for several answers.
"""

from collections.abc import Collection, Sequence
from typing import Any


def written(ids: Sequence[str], count: int | None, existing: Collection[str] | None) -> list[bool] | None:
    """Of each document whether it was written; None where it cannot be told. `count` None: the writer does not say."""
    if count is None or count >= len(ids):
        return [True] * len(ids)
    if count <= 0:
        return [False] * len(ids)
    # A store takes the first of equal documents; nothing is known of it where it was not asked.
    seen = set(existing or ())
    first = [not (id in seen or seen.add(id)) for id in ids]  # type: ignore[func-returns-value]
    return first if sum(first) == count else None


def existing(store: Any, ids: Sequence[str]) -> set[str]:
    """Which of these documents a store has."""
    found = store.filter_documents(filters={"field": "id", "operator": "in", "value": sorted(set(ids))})
    return {document.id for document in found}
