"""LangChain: `index` and `aindex` of langchain-core that report each source file to a hub.

```python
from ragpulse.adapters.langchain import index

index(loader, record_manager, vector_store, cleanup="full", source_id_key="source", reporter=pipeline)
```

They take what langchain-core's functions take, give what these give, and raise what these raise. They call these with
the source, the record manager and the vector store in wrappers that watch; `IndexingRun` gives the wrappers to whoever
calls langchain-core himself. What becomes which event stands in docs/guides/adapters/langchain.md.
"""

from ragpulse.adapters.langchain._index import aindex, index
from ragpulse.adapters.langchain._run import IndexingRun

__all__ = ["IndexingRun", "aindex", "index"]
