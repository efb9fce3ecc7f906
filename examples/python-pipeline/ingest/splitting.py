"""Splits pages into chunks that are small enough to mean one thing.

What may come in: any text. What it never does: cut a sentence where there is a better place, or give an empty chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from semantic_text_splitter import TextSplitter

CHUNK_CHARACTERS = 800
OVERLAP_CHARACTERS = 100

# It cuts at paragraphs where it can, else at sentences, else at words.
_splitter = TextSplitter(CHUNK_CHARACTERS, overlap=OVERLAP_CHARACTERS)


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, and the page it stands on, from 1; 0 where that is not known."""

    page: int
    text: str


def split(page: int, text: str) -> Iterator[Chunk]:
    """The chunks of one page. None spans two pages, so that each can be quoted with its page."""
    return (Chunk(page, chunk) for chunk in _splitter.chunks(text))
