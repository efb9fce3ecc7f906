"""LlamaIndex: what an `IngestionPipeline` does to each file, reported to a RagPulse hub.

```python
with Reporter("my-docs", "local_files") as reporter, observe(pipeline, reporter):
    pipeline.run(documents=documents)
```

What may come in: any pipeline, `run` and `arun`, from any number of threads and tasks at a time. What it never does:
raise into LlamaIndex, change what a run gives, or stay behind after it was closed. docs/guides/adapters/llama-index.md
has what becomes which event, and what LlamaIndex does not tell.
"""

from ragpulse.adapters.llama_index._identity import FileIdentity, identify
from ragpulse.adapters.llama_index._observer import Observer, observe

__all__ = ["FileIdentity", "Observer", "identify", "observe"]
