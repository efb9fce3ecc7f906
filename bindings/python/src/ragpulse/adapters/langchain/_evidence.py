"""What an exception tells of where it came from: the stage, the file that was being read, the document.

LangChain's exceptions name none of them. But the calls that an exception went through do: a loader that has a file, a
blob that is being parsed, embeddings, a splitter. What may come in: any exception. What it never does: hold on to
frames, or guess.
"""

import os
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.documents.base import Blob
from langchain_core.embeddings import Embeddings

_MAX_CAUSES: Final = 10
_DOCUMENTS: Final = ("document", "doc", "hashed_doc")
"""What langchain-core, and most code, calls a document."""


def stage_of(error: BaseException, default: str) -> str:
    """The stage in which it came up, where that can be seen."""
    for frame in _frames(error):
        owner = frame.f_locals.get("self")
        if isinstance(owner, Embeddings):
            return "embedding"
        if isinstance(owner, BaseDocumentTransformer):
            return "chunking"
    return default


def file_of(error: BaseException) -> str | None:
    """The file that was being read."""
    for frame in _frames(error):
        found = frame.f_locals
        blob = found.get("blob")
        if isinstance(blob, Blob) and blob.source:
            return str(blob.source)
        owner = found.get("self")
        if isinstance(owner, BaseLoader):
            path = getattr(owner, "file_path", None)
            if isinstance(path, (str, os.PathLike)) and str(path):
                return str(path)
    for cause in _causes(error):
        name = getattr(cause, "filename", None)
        if isinstance(cause, OSError) and isinstance(name, (str, os.PathLike)) and str(name):
            return str(name)
    return None


def document_of(error: BaseException) -> Document | None:
    """The document that was being worked on."""
    for frame in _frames(error):
        found: dict[str, Any] = frame.f_locals
        for name in _DOCUMENTS:
            if isinstance(document := found.get(name), Document):
                return document
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Those nearest to where it was raised first."""
    for cause in _causes(error):
        frames, trace = [], cause.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame)
            trace = trace.tb_next
        yield from reversed(frames)
