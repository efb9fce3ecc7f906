"""The files a hub knows to be processed by this reporter, so that they can be told again to a hub that forgot.

What may come in: begins and ends in any order. What it never does: hold more than `MAX_OPEN` files.
"""

from collections import OrderedDict
from typing import Final

from ragpulse._reporter.queue import Item

MAX_OPEN: Final = 10_000
"""How many open files are remembered; of more, the oldest are forgotten."""


class OpenFiles:
    """Open files, in the order they were begun."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[int, Item]] = OrderedDict()
        self._next = 0

    def __len__(self) -> int:
        return len(self._files)

    def begin(self, item: Item) -> None:
        """A file was begun."""
        self._files.pop(item.file, None)
        self._next += 1
        self._files[item.file] = (self._next, item)
        if len(self._files) > MAX_OPEN:
            self._files.popitem(last=False)

    def end(self, file: str) -> None:
        """A file ended, or waits again."""
        self._files.pop(file, None)

    def clear(self) -> None:
        """None is open any more."""
        self._files.clear()

    def mark(self) -> int:
        """A mark between the files begun so far and those begun later."""
        return self._next

    def begun_before(self, mark: int | None = None) -> list[Item]:
        """With what each was begun, of those begun before a mark and not since."""
        return [item for place, item in self._files.values() if mark is None or place <= mark]
