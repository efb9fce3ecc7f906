"""One file in one run: what is known of it, and how it ended.

What may come in: the steps of the run, in any order and more than once. What it never does: report two ends of one
attempt, or go back to an earlier stage within one.
"""

from dataclasses import dataclass, field

from ragpulse import File
from ragpulse.adapters.haystack._stages import ORDER


@dataclass(eq=False)
class Tracked:
    """One file in one run."""

    handle: File
    digest: str | None = None
    converted: bool = False
    """Whether documents were made of it, or it came as documents."""
    originals: dict[str, int] = field(default_factory=dict)
    """How long the text is that was extracted, by the document's id."""
    chunks: set[str] = field(default_factory=set)
    """The documents it consists of now."""
    embedded: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    """The documents that a writer was given and has returned from."""
    duplicates: set[str] = field(default_factory=set)
    """Those of them that were there before, as far as it can be told."""
    error: tuple[BaseException, str | None] | None = None
    """What was raised by a component that had it in hand, and at which stage."""
    lost: tuple[str, str] | None = None
    """Why nothing of it goes on: the reason of a skip or `failed`, and a message."""
    awaited_by: str | None = None
    """The component to which it was handed, until that begins."""
    vague: bool = False
    """Whether documents may be of this file or of another one."""
    told: list[tuple[BaseException | None, str]] = field(default_factory=list)
    """What was logged of it."""
    warnings: list[str] = field(default_factory=list)
    _extracted: bool = False

    def advance(self, stage: str | None, progress: float) -> None:
        """A component works on it."""
        if self.handle.ended:
            # Left out by one converter, taken by another one.
            self.handle.processing(stage)
            return
        now = self.handle.stage
        if stage is None or (now in ORDER and stage in ORDER and ORDER.index(stage) < ORDER.index(now)):
            return
        if stage != now or progress:
            self.handle.progress(stage, progress)

    def done(self, stage: str | None, unit: str | None = None) -> None:
        """A component is through with it."""
        if stage is None or self.handle.stage != stage:
            return
        if unit is None:
            # The text is there when the converter has made it; that it is cleaned next is no news.
            if self._extracted:
                return
            self._extracted = True
            self.handle.progress(stage, 1.0)
        else:
            self.handle.progress(stage, 1.0, current=len(self.chunks), total=len(self.chunks), unit=unit)

    def warn(self, message: str) -> None:
        """Something that belongs to its end."""
        if message not in self.warnings:
            self.warnings.append(message)

    def end(self, error: BaseException | None) -> None:
        """The run has ended, by this error if any."""
        if self.handle.ended:
            return
        if self.error and (error is not None or not self.given):
            self.handle.failed(self.error[0], stage=self.error[1], warnings=self.warnings or None)
        elif self.given:
            self._stored()
        elif error is not None:
            self._cut_off(error)
        elif self.lost:
            self.lose()
        elif self.awaited_by:
            message = f"it was handed to component {self.awaited_by!r}, which did not run"
            self.handle.failed(message, type="NotRun", warnings=self.warnings or None)
        elif not self.converted:
            self.handle.skipped("unsupported", message="no converter took it")
        else:
            self._complete()

    def lose(self) -> None:
        """Nothing of it goes on."""
        reason, message = self.lost or ("failed", "")
        if reason == "failed":
            self.handle.failed(message, type="NotConverted", warnings=self.warnings or None)
        else:
            self.handle.skipped(reason, message=message)

    def _cut_off(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            message = f"the run ended before the file was done: {error.__class__.__name__}: {error}"
            self.handle.failed(message, type="Interrupted", retryable=True, warnings=self.warnings or None)
        else:
            self.handle.failed(error, warnings=self.warnings or None)

    def _stored(self) -> None:
        if self.given <= self.duplicates:
            self.handle.skipped("duplicate", message="all of its documents were in the store")
        else:
            self._complete()

    def _complete(self) -> None:
        made = self.given or self.chunks
        if self.vague:
            self.warn("how many documents are of this file cannot be told: others go by the same name")
        more = {"documents_written": len(self.given - self.duplicates)} if self.duplicates else {}
        self.handle.completed(
            chunks_created=None if self.vague else len(made),
            embeddings_generated=None if self.vague or not self.embedded else len(self.embedded),
            content_length=sum(self.originals.values()) if self.originals else None,
            warnings=self.warnings or None,
            **more,
        )
