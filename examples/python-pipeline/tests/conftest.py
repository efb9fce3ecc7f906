"""What all tests share: a hub, and a folder with one file of each kind."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter
from support import Hub, pdf


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    running = Hub()
    yield running
    running.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    (docs / "more").mkdir(parents=True)
    (docs / "pets.md").write_text("# Pets\n\nOur kitten naps on the couch all afternoon.\n")
    (docs / "more/money.html").write_text("<h1>Report</h1><script>no()</script><p>Quarterly revenue grew by 9 %.</p>")
    (docs / "plants.pdf").write_bytes(pdf("Tomatoes want much water and sun.", "Ferns grow in the shade of trees."))
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    (docs / "latin1.txt").write_bytes("Käse".encode("latin-1"))
    (docs / "empty.txt").write_text("\n")
    (docs / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf("This is secret."))))
    writer.encrypt("password", algorithm="AES-256")
    writer.write(docs / "locked.pdf")
    return docs
