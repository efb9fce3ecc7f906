"""What a component of a pipeline is there for, as far as its span tells: its class and its sockets.

What may come in: the tags of any `haystack.component.run` span, of Haystack's own components or anybody's. What it
never does: look at the component itself, which a tracer is not given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ORDER: Final = ("extraction", "chunking", "embedding", "storing")
"""The stages of the contract, in the order in which a file goes through them."""

_BY_NAME: Final = (
    ("chunking", ("Splitter", "Chunker", "DocumentPreprocessor")),
    ("embedding", ("Embedder",)),
    ("storing", ("Writer",)),
    ("extraction", ("Cleaner", "Converter", "ToDocument", "FileTypeRouter", "ContentExtractor")),
)
"""Which part of a class's name tells its stage."""


@dataclass(frozen=True)
class Component:
    """One component, as its span names it."""

    name: str
    """Its name in the pipeline."""
    kind: str
    """Its class."""
    qualified: str
    """Its class with the module."""
    stage: str | None
    """What it does to a file; None for what is no step of indexing, such as a joiner."""
    makes_documents: bool
    """Whether documents may come out of it."""
    routes_sources: bool
    """Whether it only hands sources on."""
    receivers: Mapping[str, tuple[str, ...]]
    """Which components each of its outputs is connected to."""

    @property
    def takes_sources(self) -> bool:
        """Whether the `sources` that go in are files that are about to be indexed."""
        return self.makes_documents or self.routes_sources

    def __str__(self) -> str:
        return f"component {self.name!r} ({self.kind})"


def component(tags: Mapping[str, Any], stages: Mapping[str, str]) -> Component:
    """The component of a span. `stages`: stages that the user gave, by component name or class."""
    name = str(tags.get("haystack.component.name", ""))
    kind = str(tags.get("haystack.component.type", ""))
    inputs = tags.get("haystack.component.input_spec") or {}
    outputs = tags.get("haystack.component.output_spec") or {}
    types = {key: str(socket.get("type", "")) for key, socket in outputs.items()}
    receivers = {key: tuple(socket.get("receivers") or ()) for key, socket in outputs.items()}
    makes_documents = any("Document" in one for one in types.values())
    stage = stages.get(name) or stages.get(kind) or _stage(kind, inputs, types)
    return Component(
        name=name,
        kind=kind,
        qualified=str(tags.get("haystack.component.fully_qualified_type", "")),
        stage=stage,
        makes_documents=makes_documents,
        routes_sources="sources" in inputs and "unclassified" in outputs and not makes_documents,
        receivers=receivers,
    )


def _stage(kind: str, inputs: Mapping[str, Any], outputs: Mapping[str, str]) -> str | None:
    if "documents_written" in outputs:
        return "storing"
    if "documents" not in inputs and "sources" not in inputs:
        # As the embedder of a question.
        return None
    for stage, parts in _BY_NAME:
        if any(part in kind for part in parts):
            return stage
    if "sources" in inputs and any("Document" in one for one in outputs.values()):
        return "extraction"
    return None
