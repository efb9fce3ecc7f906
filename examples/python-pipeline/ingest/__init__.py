"""The steps of a small RAG ingestion, each in a module of its own: extraction, splitting, embedding, store, and
the pass over a folder that joins them and reports.
"""
