"""Haystack: what an indexing pipeline does to each file, reported by a tracer.

```python
from ragpulse import Reporter
from ragpulse.adapters.haystack import observe

with observe(Reporter("my-docs", "local_files")):
    pipeline.run({"router": {"sources": paths}})
```

`observe` is for a block of code, `RagPulseTracer` for `haystack.tracing.enable_tracing`. Both pass every span and tag
on to the tracer that was enabled before. What they never do: raise into the pipeline, change what it does, or turn
content tracing on for others.
"""

from ragpulse.adapters.haystack._observe import observe
from ragpulse.adapters.haystack._tracer import RagPulseTracer

__all__ = ["RagPulseTracer", "observe"]
