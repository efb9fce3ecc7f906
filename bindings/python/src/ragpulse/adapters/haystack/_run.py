"""One run of an indexing pipeline, and the pipelines that its components run: the files that are in it.

What may come in: the spans of the run, from any threads and tasks. What it never does: leave a file open when it has
ended, or raise.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from haystack import Document
from haystack.core.errors import PipelineRuntimeError

from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.haystack._identity import Identity, of_document
from ragpulse.adapters.haystack._lineage import Owners
from ragpulse.adapters.haystack._tracked import Tracked
from ragpulse.adapters.haystack._writing import existing

log = logging.getLogger("ragpulse")


@dataclass(eq=False)
class Observer:
    """To whom runs are reported, and what the user said of them."""

    reporter: Reporter | AsyncReporter
    document_store: Any = None
    stages: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = True
    _has_failed: bool = False

    def safely(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Does something that must not disturb the pipeline. A fault is logged once; then None is given."""
        try:
            return action(*arguments)
        except Exception:
            level = logging.DEBUG if self._has_failed else logging.ERROR
            self._has_failed = True
            log.log(level, "a step of a Haystack pipeline could not be reported; the pipeline goes on", exc_info=True)


class Run:
    """One run."""

    def __init__(self, observer: Observer) -> None:
        self._observer: Final = observer
        self.lock: Final = threading.RLock()
        self.owners: Final[dict[str, list[Tracked]]] = {}
        """The files that each document is of, by its id."""
        self.raised: BaseException | None = None
        """What the last component that failed raised."""
        self.stages: Final = observer.stages
        self.ended = False
        self._files: Final[dict[str, Tracked]] = {}

    def safely(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """As `Observer.safely`."""
        return self._observer.safely(action, *arguments)

    def find(self, identity: Identity) -> Tracked | None:
        """A file that is in the run."""
        return next((self._files[id] for id in _ids(identity) if self._is(id, identity)), None)

    def _is(self, id: str, identity: Identity) -> bool:
        file = self._files.get(id)
        return file is not None and (identity.digest is None or file.digest in (None, identity.digest))

    def file(self, identity: Identity, stage: str | None) -> Tracked:
        """A file that is in the run, or comes into it now."""
        file = self.find(identity)
        if file is None:
            id = next(id for id in _ids(identity) if id not in self._files or id != identity.id)
            handle = self._observer.reporter.file(
                identity.name, id=id, path=identity.path, size=identity.size, mime_type=identity.mime_type
            )
            file = self._files[id] = Tracked(handle, identity.digest)
            handle.processing(stage)
        return file

    def adopt(self, documents: Sequence[Document], stage: str) -> None:
        """Documents that come from outside of the run, and are not known, are those of files that come into it."""
        for document in documents:
            if document.id not in self.owners:
                file = self.file(of_document(document), stage)
                file.converted = True
                file.originals[document.id] = len(document.content or "")
                file.chunks.add(document.id)
                self.owners[document.id] = [file]

    def register(self, documents: Sequence[Document], owners: Sequence[Owners]) -> None:
        """These documents are of these files."""
        for document, own in zip(documents, owners, strict=True):
            known = self.owners.setdefault(document.id, [])
            known += [file for file in own if file not in known]

    def existing(self, ids: Sequence[str]) -> set[str] | None:
        """Which documents are in the store, where the user named it."""
        store = self._observer.document_store
        found: set[str] | None = None if store is None else self.safely(existing, store, ids)
        return found

    def end(self, error: BaseException | None) -> None:
        """It has ended, by this error if any: and so has every file."""
        with self.lock:
            if self.ended:
                return
            self.ended = True
            if isinstance(error, PipelineRuntimeError) and error.__cause__:
                error = error.__cause__
            for file in self._files.values():
                self.safely(file.end, error)
            self._files.clear()
            self.owners.clear()


def _ids(identity: Identity) -> tuple[str, ...]:
    """By which ids a file may go in a run: another one of its name has what tells it apart added."""
    return (identity.id, f"{identity.id}#{identity.digest[:8]}") if identity.digest else (identity.id,)
