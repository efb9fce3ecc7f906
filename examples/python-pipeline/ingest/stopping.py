"""Ends the program between two steps of work when it is asked to.

What may come in: SIGTERM and Ctrl-C, at any moment. What it never does: interrupt a step. A second signal kills.
"""

import signal
import threading
from types import FrameType


class Stop:
    """Whether the program was asked to end."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def on_signals(self) -> None:
        """Listens to SIGTERM and Ctrl-C."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def check(self) -> None:
        """Ends the program if it was asked to. The `with` blocks that this leaves report and roll back."""
        if self._asked.is_set():
            raise SystemExit(0)

    def wait(self, seconds: float) -> None:
        """Waits, or ends the program as soon as it is asked to."""
        self._asked.wait(seconds)
        self.check()

    def _ask(self, number: int, _: FrameType | None) -> None:
        self._asked.set()
        signal.signal(number, signal.SIG_DFL)
