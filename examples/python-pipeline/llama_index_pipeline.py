"""The same ingestion through LlamaIndex: its IngestionPipeline splits, embeds and stores, and is observed.

    python llama_index_pipeline.py FOLDER
    python pipeline.py query "a question" --store llama-index.sqlite3

One pass. `observe` is all that it takes to have the pipeline reported; what happens outside of it, which is reading
files and seeing that some are gone, is reported here.
"""

import argparse
import contextlib
import hashlib
import logging
import os
import sys
from pathlib import Path

from llama_index.core import Document
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from ragpulse import File, Reporter
from ragpulse.adapters.llama_index import observe

from ingest.embedding import MODELS, Embedder, ModelMissing
from ingest.extraction import extract, is_supported
from ingest.folder import files_in
from ingest.llama_index_parts import Embedding, SqliteVectorStore
from ingest.stopping import Stop
from ingest.store import Store

log = logging.getLogger("pipeline")


def main() -> int:
    """Ingests a folder once."""
    arguments = parse()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    try:
        embedder = MODELS[arguments.model]()
    except ModelMissing as error:
        print(error, file=sys.stderr)
        return 2
    stop = Stop()
    stop.on_signals()
    seen = arguments.store.with_suffix(f".{embedder.name}.json")
    with contextlib.closing(Store(arguments.store)) as store:
        pipeline = make_pipeline(store, embedder, seen)
        reporter = Reporter(arguments.pipeline_id, "local_files", watch_location=arguments.folder)
        try:
            with reporter, observe(pipeline, reporter):
                ingest(arguments.folder, pipeline, store, reporter, stop)
        finally:
            save(pipeline, seen)
    return 0


def make_pipeline(store: Store, embedder: Embedder, seen: Path) -> IngestionPipeline:
    """The pipeline. `seen` is the file in which it keeps which documents it has seen."""
    docstore = SimpleDocumentStore.from_persist_path(str(seen)) if seen.exists() else SimpleDocumentStore()
    # A kill between the two leaves them different. What is in the store counts; anything else is done again.
    stored = {document.id: document.sha256 for document in store.documents().values()}
    for id, document in list(docstore.docs.items()):
        if stored.get(id) != document.metadata.get("sha256"):
            docstore.delete_document(id)
    return IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=200, chunk_overlap=25), Embedding(embedder)],
        vector_store=SqliteVectorStore(store, embedder.name),
        docstore=docstore,
        docstore_strategy=DocstoreStrategy.UPSERTS,
        disable_cache=True,
    )


def save(pipeline: IngestionPipeline, seen: Path) -> None:
    """Keeps what the pipeline has seen; first beside the old file, so that a kill leaves one of the two whole."""
    assert pipeline.docstore is not None
    new = seen.with_suffix(".new")
    pipeline.docstore.persist(str(new))
    os.replace(new, seen)


def ingest(folder: Path, pipeline: IngestionPipeline, store: Store, reporter: Reporter, stop: Stop) -> None:
    """Ingests what is new or changed, and removes what is gone."""
    found = files_in(folder)
    files = [reporter.file(path.relative_to(folder).as_posix(), path=path) for path in found]
    for position, file in enumerate(files, 1):
        file.queued(queue_position=position)
    for path, file in zip(found, files, strict=True):
        stop.check()
        document = read(path, file)
        if document is None:
            continue
        if not document.text:
            forget(file.id, pipeline, store)  # What it said when it was not empty.
            file.skipped("empty", message="there is no text in it; scanned pages need OCR first")
            continue
        try:
            # One file a run: LlamaIndex gives up a whole run when one of its documents fails.
            pipeline.run(documents=[document])
        except Exception as error:
            log.warning("%s failed: %s", file.name, error)
    for path, gone in store.documents().items():
        if path.is_relative_to(folder) and path not in found:
            file = reporter.file(path.relative_to(folder).as_posix(), path=path)
            file.deleted(chunks_deleted=forget(gone.id, pipeline, store))


def forget(document_id: str, pipeline: IngestionPipeline, store: Store) -> int:
    """Takes a document out. How many chunks went with it."""
    assert pipeline.docstore is not None
    pipeline.docstore.delete_document(document_id, raise_error=False)
    return store.remove(document_id)


def read(path: Path, file: File) -> Document | None:
    """A file as LlamaIndex takes it; None, when it cannot be read, which is reported."""
    if not is_supported(path.suffix):
        file.skipped("unsupported", message=f"files of type {path.suffix or 'none'} are not read")
        return None
    try:
        content = path.read_bytes()
        _, pages = extract(path.suffix, content)
        text = "\n\n".join(pages).strip()
    except Exception as error:
        log.warning("%s failed: %s", file.name, error)
        file.failed(error, stage="extraction")
        return None
    # By `file_path` the adapter knows the file, with the id that `reporter.file` gives it.
    about = {"file_path": str(path), "file_name": file.name, "sha256": hashlib.sha256(content).hexdigest()}
    # Otherwise the path would be embedded with every chunk.
    hidden = list(about)
    return Document(
        id_=file.id,
        text=text,
        metadata=about,
        excluded_embed_metadata_keys=hidden,
        excluded_llm_metadata_keys=hidden,
    )


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", type=Path, default=Path("llama-index.sqlite3"), help="default: %(default)s")
    parser.add_argument("--model", choices=MODELS, default="wordllama", help="default: %(default)s")
    parser.add_argument("--pipeline-id", default="llama-index-pipeline", help="default: %(default)s")
    arguments = parser.parse_args()
    arguments.folder = arguments.folder.resolve()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder")
    if arguments.store.resolve().is_relative_to(arguments.folder):
        parser.error(f"the store {arguments.store} is in the folder that it is made from; name another by --store")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
