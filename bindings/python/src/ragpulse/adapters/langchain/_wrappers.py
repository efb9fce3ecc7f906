"""A record manager, a vector store and a document index that tell an account what is asked of them.

What may come in: any of their kind. What they never do: change an argument, an answer or an exception. langchain-core
looks at the class of a vector store to see whether it can delete: the wrapper has exactly what the wrapped one has.
"""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import DeleteResponse, DocumentIndex, RecordManager, UpsertResponse
from langchain_core.vectorstores import VectorStore
from pydantic import PrivateAttr

from ragpulse.adapters.langchain._account import Account
from ragpulse.adapters.langchain._ask import awalk, walk


class WatchedRecords(RecordManager):
    """A record manager that is watched."""

    def __init__(self, account: Account, inner: RecordManager) -> None:
        super().__init__(getattr(inner, "namespace", ""))
        self._account = account
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_schema(self) -> None:
        """As the wrapped one."""
        self._inner.create_schema()

    async def acreate_schema(self) -> None:
        """As the wrapped one."""
        await self._inner.acreate_schema()

    def get_time(self) -> float:
        """As the wrapped one."""
        time = self._inner.get_time()
        self._account.began(time)
        return time

    async def aget_time(self) -> float:
        """As the wrapped one."""
        time = await self._inner.aget_time()
        self._account.began(time)
        return time

    def update(
        self,
        keys: Sequence[str],
        *,
        group_ids: Sequence[str | None] | None = None,
        time_at_least: float | None = None,
    ) -> None:
        """As the wrapped one."""
        self._account.recording()
        self._inner.update(keys, group_ids=group_ids, time_at_least=time_at_least)
        self._account.recorded(keys, group_ids)

    async def aupdate(
        self,
        keys: Sequence[str],
        *,
        group_ids: Sequence[str | None] | None = None,
        time_at_least: float | None = None,
    ) -> None:
        """As the wrapped one."""
        self._account.recording()
        await self._inner.aupdate(keys, group_ids=group_ids, time_at_least=time_at_least)
        self._account.recorded(keys, group_ids)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """As the wrapped one."""
        self._account.recording()
        found = self._inner.exists(keys)
        self._account.known(keys, found)
        return found

    async def aexists(self, keys: Sequence[str]) -> list[bool]:
        """As the wrapped one."""
        self._account.recording()
        found = await self._inner.aexists(keys)
        self._account.known(keys, found)
        return found

    def list_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """As the wrapped one."""
        walk(self._account.cleaning())
        keys = self._inner.list_keys(before=before, after=after, group_ids=group_ids, limit=limit)
        self._account.listed(keys, limit)
        return keys

    async def alist_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """As the wrapped one."""
        await awalk(self._account.cleaning())
        keys = await self._inner.alist_keys(before=before, after=after, group_ids=group_ids, limit=limit)
        self._account.listed(keys, limit)
        return keys

    def delete_keys(self, keys: Sequence[str]) -> None:
        """As the wrapped one."""
        self._inner.delete_keys(keys)
        self._account.deleted(keys)

    async def adelete_keys(self, keys: Sequence[str]) -> None:
        """As the wrapped one."""
        await self._inner.adelete_keys(keys)
        self._account.deleted(keys)


class WatchedStore(VectorStore):
    """A vector store that is watched and cannot delete."""

    def __init__(self, account: Account, inner: VectorStore) -> None:
        self._account = account
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def embeddings(self) -> Embeddings | None:
        """As the wrapped one."""
        return self._inner.embeddings

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """As the wrapped one."""
        self._account.adding(documents)
        ids = self._inner.add_documents(documents, **kwargs)
        self._account.added(documents)
        return ids

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """As the wrapped one."""
        self._account.adding(documents)
        ids = await self._inner.aadd_documents(documents, **kwargs)
        self._account.added(documents)
        return ids

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """As the wrapped one."""
        return self._inner.get_by_ids(ids)

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """As the wrapped one."""
        return await self._inner.aget_by_ids(ids)

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """As the wrapped one."""
        return self._inner.similarity_search(query, k, **kwargs)

    @classmethod
    def from_texts(
        cls, texts: list[str], embedding: Embeddings, metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> "WatchedStore":
        """It wraps a store, and makes none."""
        raise NotImplementedError


class _Deletes(WatchedStore):
    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """As the wrapped one."""
        walk(self._account.deleting(ids))
        return self._inner.delete(ids, **kwargs)


class _DeletesLater(WatchedStore):
    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """As the wrapped one."""
        await awalk(self._account.deleting(ids))
        return await self._inner.adelete(ids, **kwargs)


class _DeletesBoth(_DeletesLater, _Deletes):
    pass


class WatchedIndex(DocumentIndex):
    """A document index that is watched."""

    _account: Account = PrivateAttr()
    _inner: DocumentIndex = PrivateAttr()

    def __init__(self, account: Account, inner: DocumentIndex) -> None:
        super().__init__()
        self._account = account
        self._inner = inner

    def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """As the wrapped one."""
        self._account.adding(items, embeds=False)
        response = self._inner.upsert(items, **kwargs)
        self._account.added(items, response, embeds=False)
        return response

    async def aupsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """As the wrapped one."""
        self._account.adding(items, embeds=False)
        response = await self._inner.aupsert(items, **kwargs)
        self._account.added(items, response, embeds=False)
        return response

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """As the wrapped one."""
        walk(self._account.deleting(ids))
        return self._inner.delete(ids, **kwargs)

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """As the wrapped one."""
        await awalk(self._account.deleting(ids))
        return await self._inner.adelete(ids, **kwargs)

    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """As the wrapped one."""
        return self._inner.get(ids, **kwargs)

    async def aget(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """As the wrapped one."""
        return await self._inner.aget(ids, **kwargs)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self._inner._get_relevant_documents(query, run_manager=run_manager)


def watched_store(account: Account, inner: VectorStore) -> WatchedStore:
    """A vector store that is watched, and can delete if the wrapped one can."""
    now, later = type(inner).delete != VectorStore.delete, type(inner).adelete != VectorStore.adelete
    kind = _DeletesBoth if now else _DeletesLater if later else WatchedStore
    return kind(account, inner)
