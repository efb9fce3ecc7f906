"""Sources of documents that tell an account what is read from them.

What may come in: any loader or iterable that `index` or `aindex` take. What they never do: read ahead, read twice, or
change a document or an exception.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, cast

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from ragpulse.adapters.langchain._account import Account
from ragpulse.adapters.langchain._ask import Steps, awalk, blind, walk


class WatchedDocuments:
    """Documents that are read in a sync way. `ask`: how questions are asked meanwhile."""

    def __init__(self, account: Account, inner: Iterable[Document], ask: Callable[[Steps], None] = walk) -> None:
        self._account = account
        self._inner = inner
        self._ask = ask

    def __iter__(self) -> Iterator[Document]:
        return _Reading(self._account, iter(self._inner), self._ask)


class _Reading:
    def __init__(self, account: Account, inner: Iterator[Document], ask: Callable[[Steps], None]) -> None:
        self._account = account
        self._inner = inner
        self._ask = ask

    def __iter__(self) -> Iterator[Document]:
        return self

    def __next__(self) -> Document:
        self._settle()
        self._account.reading()
        try:
            document = next(self._inner)
        except StopIteration:
            self._account.exhausted()
            self._settle()
            raise
        self._account.has_read(document)
        self._settle()
        return document

    def _settle(self) -> None:
        if self._account.owes_ends:
            self._ask(self._account.settle())


class AsyncWatchedDocuments:
    """Documents that are read in an async way; sync ones are read in between, as langchain-core does it."""

    def __init__(self, account: Account, inner: Iterable[Document] | AsyncIterable[Document]) -> None:
        self._account = account
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[Document]:
        # Made here, where langchain-core finds out that something is no source.
        inner: Any = self._inner
        reading = aiter(inner) if hasattr(inner, "__aiter__") else _later(inner)
        while True:
            await self._settle()
            self._account.reading()
            try:
                document = await anext(reading)
            except StopAsyncIteration:
                self._account.exhausted()
                await self._settle()
                return
            self._account.has_read(document)
            await self._settle()
            yield document

    async def _settle(self) -> None:
        if self._account.owes_ends:
            await awalk(self._account.settle())


async def _later(documents: Iterable[Document]) -> AsyncIterator[Document]:
    for document in documents:
        yield document


class WatchedLoader(BaseLoader):
    """A loader that is watched."""

    def __init__(self, account: Account, inner: BaseLoader, *, is_async: bool = False) -> None:
        self._account = account
        self._inner = inner
        self._ask = blind if is_async else walk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def lazy_load(self) -> Iterator[Document]:
        """As the wrapped one."""
        return iter(WatchedDocuments(self._account, self._inner.lazy_load(), self._ask))

    def load(self) -> list[Document]:
        """As the wrapped one; but what is given can only be gone through."""
        return cast("list[Document]", WatchedDocuments(self._account, self._inner.load(), self._ask))

    def alazy_load(self) -> AsyncIterator[Document]:
        """As the wrapped one."""
        return aiter(AsyncWatchedDocuments(self._account, self._inner.alazy_load()))
