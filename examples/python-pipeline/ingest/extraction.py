"""The text of a document, page by page.

What may come in: the bytes of any file, also broken ones. What it never does: give text that is not in the file; what
cannot be read raises, with the reason.
"""

from collections.abc import Callable, Iterator
from io import BytesIO

from bs4 import BeautifulSoup
from pypdf import PdfReader

Pages = tuple[int, Iterator[str]]
"""How many pages there are, and their texts. The number is known first, so progress can be told truly."""


class EncryptedDocument(Exception):
    """It opens with a password only."""


def is_supported(suffix: str) -> bool:
    """Whether files with this suffix, such as `.pdf`, can be read."""
    return suffix.lower() in _READERS


def extract(suffix: str, content: bytes) -> Pages:
    """The pages of a document. What has no pages is one page."""
    return _READERS[suffix.lower()](content)


def _text(content: bytes) -> Pages:
    # Strict: letters replaced by question marks would be embedded and found, and nobody would know why.
    return 1, iter([content.decode("utf-8-sig")])


def _html(content: bytes) -> Pages:
    # From bytes, so that the encoding which the page declares is honoured.
    page = BeautifulSoup(content, "html.parser")
    for element in page(["script", "style", "template", "nav"]):
        element.decompose()
    return 1, iter([page.get_text("\n", strip=True)])


def _pdf(content: bytes) -> Pages:
    reader = PdfReader(BytesIO(content))
    # Many encrypted files only forbid printing, and open with an empty password.
    if reader.is_encrypted and not reader.decrypt(""):
        raise EncryptedDocument("the PDF is encrypted: store it without its password, or leave it out")
    return len(reader.pages), (page.extract_text() for page in reader.pages)


_READERS: dict[str, Callable[[bytes], Pages]] = {
    ".txt": _text,
    ".md": _text,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
}
