"""RAG frameworks that report to a RagPulse hub, one module for each.

Each needs its framework, which the extra of its name brings: ``pip install ragpulse[llama-index]`` for
``ragpulse.adapters.llama_index``. What an adapter never does: import a framework before its module is imported, raise
into the framework, or change what the framework does.
"""
