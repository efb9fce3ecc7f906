"""What is in the folder.

What may come in: any folder that can be read. What it never does: take a file for removed because a folder could not be
listed; that raises instead.
"""

import os
from pathlib import Path


def files_in(folder: Path) -> list[Path]:
    """All files in a folder and below, sorted; hidden ones are left out."""
    found: list[Path] = []
    # Without `onerror` a folder that cannot be listed looks empty, and all its documents would be deleted.
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
