"""Which file a document or node belongs to.

What may come in: any node, with any metadata. What it never does: read a file, or take two files for one because they
have the same name where anything else tells them apart.
"""

import os
import uuid
from dataclasses import dataclass
from typing import Any

from llama_index.core.schema import BaseNode

from ragpulse import file_id


@dataclass(frozen=True)
class FileIdentity:
    """A file as the hub knows it."""

    id: str
    """What identifies it in its pipeline: nodes with the same id are one file."""
    name: str
    """Its name, for people."""
    path: str | None = None
    """Where it is."""
    size: int | None = None
    """How large it is, in bytes."""
    mime_type: str | None = None
    """What it is."""


def identify(node: BaseNode) -> FileIdentity:
    """The file of a node, by what readers write into its metadata.

    By `file_path`: the id is the MD5 of the absolute path, as in `ragpulse.file_id`, or the address itself, where it is
    one (`s3://…`). Without it, by the id of the document; but where that is a UUID, which LlamaIndex makes up for every
    document, by `file_name`, if there is one.
    """
    metadata = node.metadata
    size, kind = metadata.get("file_size"), metadata.get("file_type")
    more: dict[str, Any] = {
        "size": size if isinstance(size, int) and size >= 0 else None,
        "mime_type": kind if isinstance(kind, str) else None,
    }
    path, name = _text(metadata.get("file_path")), _text(metadata.get("file_name"))
    if path:
        known = path if "://" in path else file_id(path)
        return FileIdentity(known, name or os.path.basename(path) or path, path, **more)
    document = node.ref_doc_id or node.id_
    if name and _is_made_up(document):
        return FileIdentity(name, name, **more)
    return FileIdentity(document, name or document, **more)


def has_identity_in_metadata(node: BaseNode) -> bool:
    """Whether its metadata, which its hash covers, tells which file it is of."""
    return bool(_text(node.metadata.get("file_path")) or _text(node.metadata.get("file_name")))


def _text(value: Any) -> str:
    return str(value) if isinstance(value, (str, os.PathLike)) else ""


def _is_made_up(document: str) -> bool:
    try:
        uuid.UUID(document)
    except ValueError:
        return False
    return True
