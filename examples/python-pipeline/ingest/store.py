"""Documents, their chunks and vectors, in one SQLite file.

What may come in: whole documents. What it never does: hold half a document. Each change is one transaction, so after a
kill at any moment a document is there as it was before or as it is after.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.embedding import Vectors
from ingest.splitting import Chunk

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL, model TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS chunks (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, page INTEGER NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (document_id, position)
) STRICT;
"""


@dataclass(frozen=True)
class Document:
    """A file whose chunks are stored."""

    id: str
    path: Path
    sha256: str
    """Of the file's content."""
    model: str
    """The name of the model that made the vectors."""


@dataclass(frozen=True)
class Hit:
    """A chunk that answers a question."""

    score: float
    """How alike it is: 1 is the same, 0 has nothing in common."""
    path: Path
    page: int
    text: str


class Store:
    """The stored documents. Close it, or use it in a `with` block of `contextlib.closing`."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def documents(self) -> dict[Path, Document]:
        """All documents, by path."""
        rows = self._connection.execute("SELECT id, path, sha256, model FROM documents")
        return {Path(path): Document(id, Path(path), sha256, model) for id, path, sha256, model in rows}

    def replace(self, document: Document, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Stores a document in place of what was stored under its id."""
        rows = (
            (document.id, position, chunk.page, chunk.text, vector.tobytes())
            for position, (chunk, vector) in enumerate(zip(chunks, vectors, strict=True))
        )
        with self._connection as transaction:
            transaction.execute("DELETE FROM documents WHERE id = ?", (document.id,))
            transaction.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?)",
                (document.id, str(document.path), document.sha256, document.model),
            )
            transaction.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", rows)

    def remove(self, document_id: str) -> int:
        """Takes a document out. How many chunks went with it."""
        with self._connection as transaction:
            (chunks,) = transaction.execute(
                "SELECT count(*) FROM chunks WHERE document_id = ?", (document_id,)
            ).fetchone()
            transaction.execute("DELETE FROM documents WHERE id = ?", (document_id,))
        return int(chunks)

    def nearest(self, question: Vectors, model: str, count: int) -> list[Hit]:
        """The chunks that are most like a question, the best first, among those of the same model."""
        rows = self._connection.execute(
            "SELECT path, page, text, vector FROM chunks JOIN documents ON id = document_id WHERE model = ?", (model,)
        ).fetchall()
        if not rows:
            return []
        # Comparing with all is fast enough for some 100,000 chunks; beyond that, use an index such as sqlite-vec.
        scores = np.frombuffer(b"".join(row[3] for row in rows), np.float32).reshape(len(rows), -1) @ question
        best = np.argsort(-scores)[:count]
        return [Hit(float(scores[i]), Path(rows[i][0]), rows[i][1], rows[i][2]) for i in best]
