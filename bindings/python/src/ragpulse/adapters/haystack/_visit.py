"""One component at work in one run.

What may come in: what its span says, from the thread or task that runs it. What it never does: keep the documents
longer than the component works, or raise into it.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final, Optional

from haystack import Document
from haystack.core.errors import PipelineRuntimeError

from ragpulse.adapters.haystack._identity import of_source
from ragpulse.adapters.haystack._lineage import Owners, documents_in, held, made
from ragpulse.adapters.haystack._listen import Hear, hearing, leave, listen
from ragpulse.adapters.haystack._sources import Source, converted, of_record, sources_of
from ragpulse.adapters.haystack._stages import Component
from ragpulse.adapters.haystack._tracked import Tracked
from ragpulse.adapters.haystack._writing import written

if TYPE_CHECKING:
    from ragpulse.adapters.haystack._run import Run

current: Final[ContextVar[Optional["Visit"]]] = ContextVar("ragpulse_haystack_visit", default=None)
"""The component that works in this thread or task: a pipeline that runs in it is a part of its run."""


class Visit:
    """One component at work."""

    def __init__(self, run: "Run", tracer: object, component: Component, is_nested: bool) -> None:
        self.tracer: Final = tracer
        self.run: Final = run
        self._component: Final = component
        self._is_nested: Final = is_nested
        self.outer: Visit | None = None
        self._sources: list[Source] = []
        self._parents: list[tuple[Document, Owners]] = []
        self._existing: set[str] | None = None
        self.has_inner = False
        """Whether a pipeline ran within."""
        self._listens_to: set[str] = set()
        self._tokens: tuple[Token[Visit | None], Token[Hear | None]] | None = None

    def begin(self) -> None:
        """It begins."""
        self.outer = current.get()
        if self._component.takes_sources:
            self._listens_to = listen(self._component.qualified)
        self._tokens = current.set(self), hearing.set(self._hear)

    def content(self, key: str, value: Any) -> None:
        """What goes in, or comes out."""
        if not isinstance(value, Mapping):
            return
        with self.run.lock:
            if self.run.ended:
                return
            if key == "haystack.component.input":
                self._input(dict(value))
            elif key == "haystack.component.output":
                self._output(value)

    def end(self, error: BaseException | None) -> None:
        """It has ended, by this error if any."""
        tokens, self._tokens = self._tokens, None
        if tokens:
            try:
                current.reset(tokens[0])
                hearing.reset(tokens[1])
            except ValueError:
                # Closed by another task than the one that began it, which takes nothing along.
                pass
        leave(self._listens_to)
        with self.run.lock:
            if isinstance(error, Exception) and self.run.raised is not error:
                self.run.raised = error
                cause = error.__cause__ if isinstance(error, PipelineRuntimeError) and error.__cause__ else error
                for file in self._files():
                    file.error = file.error or (cause, self._component.stage or file.handle.stage)
        self._sources, self._parents = [], []

    def _files(self) -> list[Tracked]:
        """All files that it was given, each once."""
        given = [source.file for source in self._sources]
        return list(dict.fromkeys([*given, *(owner for _, owners in self._parents for owner in owners)]))

    def _hear(self, record: logging.LogRecord) -> None:
        self.run.safely(self._keep, record)

    def _keep(self, record: logging.LogRecord) -> None:
        with self.run.lock:
            file = of_record(record, self._sources, self.run.find)
            if file is not None:
                error = getattr(record, "error", None)
                file.told.append((error if isinstance(error, BaseException) else None, record.getMessage()))

    # What goes in.

    def _input(self, inputs: dict[str, Any]) -> None:
        stage = self._component.stage
        if self._component.takes_sources:
            self._sources = sources_of(inputs, lambda identity: self.run.file(identity, stage))
        documents = [document for value in inputs.values() for document in documents_in(value)]
        if documents:
            if stage is not None:
                self.run.adopt(documents, stage)
            owners = held(documents, self.run.owners)
            self._parents = [(document, own) for document, own in zip(documents, owners, strict=True) if own]
        for file in self._files():
            file.awaited_by = None
            # What was left out before it came here goes on only where it comes as a source again.
            if self._sources or not file.handle.ended:
                file.advance(stage, 0.0)
        if stage == "storing" and self._parents:
            self._existing = self.run.existing([document.id for document, _ in self._parents])

    # What comes out.

    def _output(self, outputs: Mapping[str, Any]) -> None:
        if self._component.stage == "storing":
            self._stored(outputs)
            return
        documents: list[Document] = []
        refused: list[Document] = []
        sockets: list[str] = []
        for key, value in outputs.items():
            found = documents_in(value)
            if key.startswith("failed"):
                refused += found
            else:
                documents += found
                sockets += [key] * len(found)
        if self._sources:
            owners = self._converted(documents)
        elif self._parents:
            owners = self._made(documents)
        else:
            return
        self._became(documents, owners, sockets)
        if self._sources:
            self._left_out(outputs, {owner for own in owners for owner in own})
        else:
            self._dropped({owner for own in owners for owner in own}, refused)

    def _made(self, documents: list[Document]) -> list[Owners]:
        owners, unclear = made(documents, self.run.owners, self._parents)
        for file in unclear:
            file.vague = True
        return owners

    def _became(self, documents: list[Document], owners: list[Owners], sockets: list[str]) -> None:
        stage, before = self._component.stage, {document.id for document, _ in self._parents}
        self.run.register(documents, owners)
        files: dict[Tracked, None] = {}
        for document, own, socket in zip(documents, owners, sockets, strict=True):
            receivers = self._component.receivers.get(socket) or (None,)
            for file in own:
                if file not in files:
                    files[file] = None
                    file.chunks -= before
                    file.converted, file.lost = True, None
                file.chunks.add(document.id)
                file.awaited_by = receivers[0]
                if self._sources:
                    file.originals[document.id] = len(document.content or "")
                if stage == "embedding" and (document.embedding is not None or document.sparse_embedding is not None):
                    file.embedded.add(document.id)
        for file in files:
            if self._sources and file.handle.ended:
                # Left out by one converter, made by another one.
                file.handle.processing(stage)
            file.done(stage, None if stage == "extraction" else "chunks")

    def _converted(self, documents: list[Document]) -> list[Owners]:
        # What a pipeline within has made is known already.
        known = held(documents, self.run.owners) if self.has_inner else [None] * len(documents)
        loose = [document for document, own in zip(documents, known, strict=True) if own is None]
        failed = {file for file in self._files() if any(error for error, _ in file.told)}
        found = converted(loose, self._sources, failed)
        unclear = [own for own in found if len(own) > 1]
        for file in dict.fromkeys(file for own in unclear for file in own):
            file.lost = (
                "failed",
                f"{self._component} made {len(unclear)} documents of sources that go by the same name, and does not "
                "tell of which: at least one of them was left out",
            )
        # These go on as nobody's.
        clear = iter([own if len(own) == 1 else () for own in found])
        return [next(clear) if own is None else own for own in known]

    def _left_out(self, outputs: Mapping[str, Any], came_out: set[Tracked]) -> None:
        """Ends what does not go on from here."""
        component, routed = self._component, set[Tracked]()
        for key, value in outputs.items():
            for source in value if isinstance(value, list) else []:
                identity = of_source(source)
                file = self.run.find(identity) if identity else None
                if file is None or file in came_out:
                    continue
                routed.add(file)
                receivers = component.receivers.get(key)
                if receivers:
                    file.awaited_by = receivers[0]
                elif self._is_nested or file.handle.ended:
                    # What the pipeline around does with it is seen there.
                    pass
                elif key == "failed":
                    self._fail(file)
                elif key == "unclassified":
                    self._lose(file, "unsupported", f"{component} has no place for its type")
                else:
                    self._lose(file, "unsupported", f"{component} took it for {key}, which nothing is connected to")
        for file in self._files():
            if file in came_out:
                for _, message in file.told:
                    file.warn(message)
                file.told = []
            elif file not in routed and component.makes_documents and not file.handle.ended:
                self._fail(file)

    def _fail(self, file: Tracked) -> None:
        told = next(((error, message) for error, message in file.told if error), *file.told[-1:]) if file.told else None
        if told is None:
            file.lost = file.lost or ("failed", f"{self._component} made no document of it, and logged no reason")
            file.lose()
        elif told[0] is not None:
            file.handle.failed(told[0])
        else:
            missing = "not found" in told[1].lower()
            file.handle.failed(told[1], type="FileNotFoundError" if missing else "NotConverted")

    def _lose(self, file: Tracked, reason: str, message: str) -> None:
        file.lost = (reason, message)
        file.lose()

    def _dropped(self, came_out: set[Tracked], refused: list[Document]) -> None:
        """Notes what nothing came out of; whether it goes on elsewhere is known at the end of the run."""
        if not self._component.makes_documents:
            return
        reasons: dict[Tracked, str] = {}
        for document, owners in zip(refused, self._made(refused), strict=True):
            told = [str(value) for key, value in (document.meta or {}).items() if key.endswith("_error")]
            reasons |= dict.fromkeys(owners, told[0] if told else f"{self._component} failed on it")
        texts: dict[Tracked, bool] = {}
        for document, owners in self._parents:
            for file in owners:
                texts[file] = texts.get(file, False) or bool((document.content or "").strip() or document.blob)
        for file, has_text in texts.items():
            if file in came_out:
                continue
            if file in reasons:
                file.lost = ("failed", reasons[file])
            elif has_text:
                file.lost = ("filtered", f"{self._component} let none of its documents through")
            else:
                file.lost = ("empty", f"there is no text in it; {self._component} let none of its documents through")

    def _stored(self, outputs: Mapping[str, Any]) -> None:
        documents = [document.id for document, _ in self._parents]
        count = outputs.get("documents_written")
        found = written(documents, count if isinstance(count, int) else None, self._existing)
        files = self._files()
        for place, (document, owners) in enumerate(self._parents):
            for file in owners:
                file.given.add(document.id)
                if found is not None and not found[place]:
                    file.duplicates.add(document.id)
        if found is None:
            for file in files:
                file.warn(
                    f"{self._component} wrote {count} of the {len(documents)} documents of this call; of which files, "
                    "it does not tell"
                )
        for file in files:
            file.done("storing", "chunks")
