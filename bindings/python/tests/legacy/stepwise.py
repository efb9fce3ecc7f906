"""Runs the `pipeline.py` that is named, and lets it go on file by file: for each line on its standard input one.

    python stepwise.py path/to/pipeline.py FOLDER --port 8003 --interval 0.1

So a test sees every state that a real pipeline is in for minutes, without waiting for any. Nothing of the pipeline is
changed: it only pauses before each file. On standard output it says which file that is.

What may come in: what the pipeline takes. What it never does: touch the status, or know of RagPulse.
"""

import runpy
import sys
from pathlib import Path
from typing import Any

script = Path(sys.argv[1]).resolve()
sys.argv = [str(script), *sys.argv[2:]]
sys.path[:0] = [str(script.parent)]


def pause(frame: Any, event: str, argument: Any) -> Any:
    """Called for each call of a function of the pipeline: before a file is processed it waits for its line."""
    if frame.f_code.co_name == "process" and frame.f_code.co_filename == str(script):
        print(frame.f_locals["path"].name, flush=True)
        if not sys.stdin.readline():
            raise KeyboardInterrupt
    return None


sys.settrace(pause)
runpy.run_path(str(script), run_name="__main__")
