"""Which file a source, or a document, is of.

What may come in: sources as converters take them (`str`, `Path`, `ByteStream`), and documents with any metadata. What
it never does: open a file, or change what it is given.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from haystack import Document
from haystack.dataclasses import ByteStream

from ragpulse import file_id

KEYS: Final = ("file_path", "file_name", "filename", "url", "name", "title")
"""The metadata that name a file, the most exact first."""

_SAMPLE: Final = 64 * 1024
"""How many bytes of each end of a nameless stream are read to know it again."""


@dataclass(frozen=True)
class Identity:
    """What a file is known by, and how it is shown."""

    id: str
    """The same in every run."""
    name: str
    path: str | None = None
    size: int | None = None
    mime_type: str | None = None
    digest: str | None = None
    """What tells streams apart that go by one name."""


def of_source(source: Any) -> Identity | None:
    """The file of a source; None for what is no source."""
    if isinstance(source, (str, Path)):
        return _of_path(str(source))
    if not isinstance(source, ByteStream):
        return None
    meta = source.meta or {}
    size, mime = len(source.data), source.mime_type
    path = meta.get("file_path")
    if path and "file_id" not in meta:
        return _of_path(str(path), size, mime)
    digest = _digest(source.data)
    name = names(meta)[:1] or [f"stream-{digest[:8]}"]
    return Identity(
        str(meta.get("file_id") or (name[0] if names(meta) else digest)), os.path.basename(name[0]) or name[0],
        None, size, mime, digest,
    )  # fmt: skip


def of_document(document: Document) -> Identity:
    """The file of a document that came from outside of the run."""
    meta = document.meta or {}
    path = meta.get("file_path")
    if path and "file_id" not in meta and os.path.isabs(str(path)):
        return _of_path(str(path))
    # Converters leave only the name of the file, unless `store_full_path` is set: from it no path is made up.
    named = names(meta)
    parent = str(meta.get("source_id") or document.id)
    name = named[0] if named else f"document-{parent[:12]}"
    return Identity(str(meta.get("file_id") or (named[0] if named else parent)), os.path.basename(name) or name)


def names(meta: Mapping[str, Any]) -> list[str]:
    """All that the metadata call the file by."""
    return [str(meta[key]) for key in KEYS if meta.get(key)]


def tokens(source: Any, meta: Mapping[str, Any]) -> set[str]:
    """All that a document of this source may be called by in its metadata; `meta`: what the converter adds."""
    if isinstance(source, ByteStream):
        own = {**(source.meta or {}), **meta}
        called = names(own)
        own_path = source.meta.get("file_path") if source.meta else None
        return {*called, *([os.path.basename(str(own_path))] if own_path else [])}
    return {str(source), os.path.basename(str(source)), *names(meta)}


def _of_path(path: str, size: int | None = None, mime_type: str | None = None) -> Identity:
    return Identity(file_id(path), os.path.basename(path) or path, path, size, mime_type)


def _digest(data: bytes) -> str:
    ends = data if len(data) <= 2 * _SAMPLE else data[:_SAMPLE] + data[-_SAMPLE:]
    return hashlib.md5(len(data).to_bytes(8, "big") + ends, usedforsecurity=False).hexdigest()
