"""What one run does to one source of documents, which is one file at the hub.

What may come in: counts, in any order, also after the file had ended: then it begins again, and its next end tells what
the whole run did to it. What it never does: end a file that is not open.
"""

from typing import Any, Final

from ragpulse import File

WITHOUT: Final = "documents without a source"
"""The file for what has no source that could be told."""


def name_of(key: str) -> str:
    """What people call it: the last part of a path or a URL's path."""
    if "?" in key or "#" in key:
        return key
    return key.replace("\\", "/").rstrip("/").rpartition("/")[2] or key


class Source:
    """One source in one run. All counts are of documents, since the run began."""

    def __init__(self, key: str, file: File) -> None:
        self.key: Final = key
        """What it is known by."""
        self.file: Final = file
        self.group: Any = None
        """What the record manager knows it by, where it does."""
        self.origin: str | None = None
        """Where its documents say that they come from, which may be something else."""
        self.is_open = False
        """Whether it was begun and not ended."""
        self.waits_for_cleanup = False
        """Whether it has outdated documents, which go at the end of the run."""
        self.is_clean = False
        """Whether it is known that it has none."""
        self.read = 0
        self.length = 0
        """Characters of text."""
        self.assigned = 0
        """Of those read, what was left after documents that are the same were taken out of a batch."""
        self.created = 0
        self.updated = 0
        self.unchanged = 0
        self.deleted = 0
        self.refused = 0
        """What the store said it did not take."""
        self.vectors = 0

    @property
    def handled(self) -> int:
        """How many are where they belong."""
        return self.created + self.updated + self.unchanged

    def begin(self, stage: str = "extraction") -> None:
        """Work on it begins: in this run, or again after it had ended."""
        self.is_open = True
        self.file.processing(stage)

    def was_read(self, length: int) -> None:
        """A document of it was read. How many there will be nobody knows."""
        self.read += 1
        self.length += length
        self.file.progress("extraction", 0.0, current=self.read, unit="chunks")

    def progress(self, stage: str, *, is_whole: bool) -> None:
        """How much of it went through a stage. `is_whole`: all of it is read, so that the total is known."""
        current = min(self.handled, self.read)
        share = current / self.read if self.read else 0.0
        self.file.progress(stage, share, current=current, total=self.read if is_whole else None, unit="chunks")

    def end(self) -> None:
        """All of it went through."""
        if not self.is_open:
            return
        self.is_open = False
        same = self.read - self.assigned
        if self.refused:
            message = f"the store did not take {_documents(self.refused)} of {self.read}"
            self.file.failed(message, type="NotStored", stage="storing")
        elif self.created or self.updated or self.deleted:
            self.file.completed(
                chunks_created=self.created,
                embeddings_generated=self.vectors or None,
                content_length=self.length,
                chunks_updated=self.updated,
                chunks_skipped=self.unchanged + same,
                chunks_deleted=self.deleted,
            )
        elif self.unchanged:
            self.file.skipped("unchanged", message=f"{_documents(self.unchanged + same)}, there already")
        else:
            self.file.skipped("duplicate", message=f"{_documents(same)}, the same as others of their batch")

    def fail(self, error: BaseException, stage: str) -> None:
        """It is what an error is about."""
        if not self.is_open:
            self.begin(stage)
        self.is_open = False
        self.file.failed(error, stage=stage)

    def interrupt(self, error: BaseException) -> None:
        """The run ended before it was done, because of something else."""
        if not self.is_open:
            return
        self.is_open = False
        stage = "cleanup" if self.waits_for_cleanup else None
        message = f"the run ended before this file was done: {error.__class__.__name__}"
        self.file.failed(message, type="Interrupted", stage=stage, retryable=True)


def _documents(number: int) -> str:
    return f"{number} document" if number == 1 else f"{number} documents"
