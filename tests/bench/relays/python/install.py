"""Makes the environment that relay.py runs in, or brings it up to date, and prints its Python.

    python3 tests/bench/relays/python/install.py FOLDER

What it never does: install outside of that folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[3] / "bindings/python/scripts"))

from environment import make

if __name__ == "__main__":
    print(make(Path(sys.argv[1]).resolve(), HERE / "requirements.txt"))
