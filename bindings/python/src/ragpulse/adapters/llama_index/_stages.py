"""Which stage of the contract a transformation is.

What may come in: the transformations of a pipeline, in order. What it never does: call one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
from llama_index.core.extractors import BaseExtractor
from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import TransformComponent

EXTRACTION: Final = "extraction"
CHUNKING: Final = "chunking"
EMBEDDING: Final = "embedding"
STORING: Final = "storing"
DEDUPLICATION: Final = "deduplication"
"""Not of the reference's four: the document store is asked which documents are new."""
DELETING: Final = "deleting"
"""Not of the reference's four: a document is removed from the stores, since it is not among the inputs any more."""


def is_embedding(transformation: TransformComponent) -> bool:
    """Whether it gives embeddings to nodes."""
    return isinstance(transformation, (BaseEmbedding, BaseSparseEmbedding))


def stages_of(
    transformations: Sequence[TransformComponent], named: Mapping[type[TransformComponent], str]
) -> dict[int, str]:
    """The stage of each, by the `id` of the object.

    `named` goes first. Node parsers are chunking, embedding models embedding, metadata extractors extraction. Any other
    is extraction as long as there are no chunks, and chunking afterwards.
    """
    stages: dict[int, str] = {}
    chunked = False
    for transformation in transformations:
        by_name = next((stage for kind, stage in named.items() if isinstance(transformation, kind)), None)
        if by_name is not None:
            stage = by_name
        elif is_embedding(transformation):
            stage = EMBEDDING
        elif isinstance(transformation, NodeParser):
            stage = CHUNKING
        elif isinstance(transformation, BaseExtractor) or not chunked:
            stage = EXTRACTION
        else:
            stage = CHUNKING
        chunked = chunked or isinstance(transformation, NodeParser) or stage == CHUNKING
        stages[id(transformation)] = stage
    return stages
