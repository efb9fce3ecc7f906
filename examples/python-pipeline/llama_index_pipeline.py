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
    hashes = arguments.store.with_suffix(f".{embedder.name}.json")
    with contextlib.closing(Store(arguments.store)) as store:
        pipeline = make_pipeline(store, embedder, hashes)
        reporter = Reporter(arguments.pipeline_id, "local_files", watch_location=arguments.folder)
        try:
            with reporter, observe(pipeline, reporter):
                ingest(arguments.folder, pipeline, store, reporter, stop)
        finally:
            save(pipeline, hashes)
    return 0


def make_pipeline(store: Store, embedder: Embedder, hashes: Path) -> IngestionPipeline:
    """The pipeline. `hashes` is the file in which it keeps what it has seen; a document that it lacks is done again."""
    # The file tells what is in the store only as long as the store is there.
    known = hashes.exists() and bool(store.documents())
    return IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=200, chunk_overlap=25), Embedding(embedder)],
        vector_store=SqliteVectorStore(store, embedder.name),
        docstore=SimpleDocumentStore.from_persist_path(str(hashes)) if known else SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS,
        disable_cache=True,
    )


def save(pipeline: IngestionPipeline, hashes: Path) -> None:
    """Keeps what the pipeline has seen; first beside the old file, so that a kill leaves one of the two whole."""
    assert pipeline.docstore is not None
    new = hashes.with_suffix(".new")
    pipeline.docstore.persist(str(new))
    os.replace(new, hashes)


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
        try:
            # One file a run: LlamaIndex gives up a whole run when one of its documents fails.
            pipeline.run(documents=[document])
        except Exception as error:
            log.warning("%s failed: %s", file.name, error)
    for path, document_in_store in store.documents().items():
        if path.is_relative_to(folder) and path not in found:
            file = reporter.file(path.relative_to(folder).as_posix(), path=path)
            assert pipeline.docstore is not None
            pipeline.docstore.delete_document(document_in_store.id, raise_error=False)
            file.deleted(chunks_deleted=store.remove(document_in_store.id))


def read(path: Path, file: File) -> Document | None:
    """A file as LlamaIndex takes it; None, when there is nothing to ingest, which is reported."""
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
    if not text:
        file.skipped("empty", message="there is no text in it; scanned pages need OCR first")
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
