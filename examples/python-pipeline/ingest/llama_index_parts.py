"""The same model and the same store, in the shapes that LlamaIndex has for them.

What may come in: nodes whose documents have `file_path` and `sha256` in their metadata. What it never does: anything of
its own; embedding and storing are done by embedding.py and store.py.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQuery, VectorStoreQueryResult
from pydantic import PrivateAttr

from ingest.embedding import Embedder
from ingest.splitting import Chunk
from ingest.store import Document, Store


class Embedding(BaseEmbedding):
    """An embedder as LlamaIndex calls it."""

    _embedder: Embedder = PrivateAttr()

    def __init__(self, embedder: Embedder, **options: Any) -> None:
        super().__init__(model_name=embedder.name, **options)
        self._embedder = embedder

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embedder.embed(texts).tolist()
        return vectors

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class SqliteVectorStore(BasePydanticVectorStore):
    """The store as LlamaIndex calls it. It takes all nodes of a document at once, in place of those it had."""

    stores_text: bool = True
    _store: Store = PrivateAttr()
    _model: str = PrivateAttr()

    def __init__(self, store: Store, model: str) -> None:
        super().__init__(stores_text=True)
        self._store = store
        self._model = model

    @property
    def client(self) -> Store:
        """What is behind it."""
        return self._store

    def add(self, nodes: list[BaseNode], **_: Any) -> list[str]:  # type: ignore[override]
        """Stores the documents of these nodes."""
        documents: dict[str, list[BaseNode]] = defaultdict(list)
        for node in nodes:
            documents[node.ref_doc_id or node.node_id].append(node)
        for id, parts in documents.items():
            about = parts[0].metadata
            chunks = [Chunk(0, part.get_content(metadata_mode=MetadataMode.NONE)) for part in parts]
            vectors = np.array([part.get_embedding() for part in parts], np.float32)
            self._store.replace(Document(id, Path(about["file_path"]), about["sha256"], self._model), chunks, vectors)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Takes a document out."""
        self._store.remove(ref_doc_id)

    def query(self, query: VectorStoreQuery, **_: Any) -> VectorStoreQueryResult:
        """Not here: `python pipeline.py query` asks the same store."""
        raise NotImplementedError("ask the store by: python pipeline.py query")
