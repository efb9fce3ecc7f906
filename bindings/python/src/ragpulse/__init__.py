"""RagPulse for Python: report what a RAG ingestion pipeline does to each file, and follow it live."""
