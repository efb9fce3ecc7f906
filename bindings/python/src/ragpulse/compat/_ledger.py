"""The files of one pipeline as this process has begun and ended them: which one a name means.

| told | what it means |
|---|---|
| a file begins | another file, unless its id is open: then it is a new attempt of that one |
| a name ends | the oldest open file of that name that this thread began, else the oldest of any thread |
| a name ends, none is open, one was given up | the real end of that one |
| a name ends, none is open, one was begun and ended | told twice: nothing |
| a name ends that was never begun | it begins and ends |

What may come in: names, ids and ends in any order, from any thread, also in forked workers. What it never does: hold
more than `MOST` open files and names of files that ended, or give up in one process what another one has begun.
"""

import hashlib
import os
import sys
import threading
from collections import OrderedDict
from typing import Any, Final

from ragpulse._reporter.handle import File, describe
from ragpulse._reporter.retryable import is_retryable
from ragpulse.compat._hub import Hub, on_fork
from ragpulse.compat._outcome import INTERRUPTED, Outcome, interrupted
from ragpulse.compat._times import now, utc

MOST: Final = 10_000
"""How many open files, and how many names of files that ended, are remembered; of more, the oldest are forgotten."""
_LONGEST: Final = 900


class Entry:
    """One attempt of a file."""

    def __init__(self, name: str, id: str, started_at: str) -> None:
        self.name: Final = name
        """Its name, as it was told."""
        self.id: Final = id
        """What identifies it in its pipeline."""
        self.started_at: Final = started_at
        """When it began, as it stands in the dict."""
        self.outcome: Outcome | None = None
        """How it ended."""
        self.thread: Final = threading.current_thread()
        self.pid: Final = os.getpid()

    @property
    def is_given_up(self) -> bool:
        """Whether its end was not told but concluded."""
        return self.outcome is not None and self.outcome.fields.get("type") == INTERRUPTED

    def same(self, name: str, id: str | None) -> bool:
        """Whether it is meant by these."""
        return self.id == id if id is not None else self.name == name


def _clip(text: str) -> str:
    """A name that a hub takes."""
    raw = text.encode("utf-8", "replace")
    return (raw[:_LONGEST].decode("utf-8", "ignore") if len(raw) > _LONGEST else text) or "unnamed"


def _clip_id(text: str) -> str:
    raw = text.encode("utf-8", "replace")
    return hashlib.md5(raw, usedforsecurity=False).hexdigest() if len(raw) > _LONGEST else text


def _is_spawned() -> bool:
    context = sys.modules.get("multiprocessing.process")
    return context is not None and context.parent_process() is not None


class Ledger:
    """The files of one pipeline in this process."""

    def __init__(self, hub: Hub) -> None:
        self.hub: Final = hub
        """Where they are reported."""
        self.lock = threading.RLock()
        self._pid = os.getpid()
        self._open: list[tuple[Entry, File]] = []
        self._given_up: list[Entry] = []
        # Names that were begun, and what was told of which attempt: (id, start) -> its entry.
        self._names: OrderedDict[str, None] = OrderedDict()
        self._attempts: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        # Ends of files, by name and kind, that lists which give names only have not accounted for.
        self._unclaimed: OrderedDict[tuple[str, str], int] = OrderedDict()
        on_fork(self)

    def forked(self) -> None:
        """This process was forked: another thread of the parent may have held the lock."""
        self.lock = threading.RLock()

    def begin(self, filename: Any, file_id: Any = None, started_at: Any = None) -> Entry:
        """Work on a file begins."""
        with self.lock:
            return self._begin(filename, file_id, started_at)[0]

    def _begin(self, filename: Any, file_id: Any, started_at: Any) -> tuple[Entry, File]:
        name = str(filename)
        id = str(file_id) if file_id not in (None, "") else self._own_id(name)
        begun = utc(started_at)
        entry = Entry(name, id, str(started_at) if started_at else now())
        fields = describe(_clip(name), id=_clip_id(id))
        if begun is not None:
            fields["started_at"] = begun
        file = File(self.hub.report, fields, is_retryable)
        self._open = [one for one in self._open if one[0].id != id]
        self._given_up = [one for one in self._given_up if one.id != id]
        if len(self._open) >= MOST:
            # Its end, if it comes, is that of a file that is not known.
            oldest = self._open.pop(0)[0]
            self._names.pop(oldest.name, None)
            self._attempts.pop((oldest.id, oldest.started_at), None)
        self._open.append((entry, file))
        _remember(self._names, name, None)
        _remember(self._attempts, (id, entry.started_at), entry)
        file.processing()
        return entry, file

    def _own_id(self, name: str) -> str:
        """The name; if that is taken, or other processes begin files too, one that nobody else has."""
        alone = self._pid == os.getpid() and not _is_spawned()
        taken = name in self._names or any(entry.id == name for entry, _ in self._open)
        return name if name and alone and not taken else f"{name[:200]}#{os.urandom(8).hex()}"

    def end(self, filename: Any, outcome: Outcome, file_id: Any = None) -> tuple[Entry, bool] | None:
        """A file ends. Gives it, and whether it had been given up before; None if its end was told before."""
        with self.lock:
            name, id = str(filename), None if file_id in (None, "") else str(file_id)
            found = self._find(name, id)
            late = None if found is not None else next((one for one in self._given_up if one.same(name, id)), None)
            if found is None and late is None and id is not None and not any(key[0] == id for key in self._attempts):
                # An id that is not known here: the file was begun by its name.
                found = self._find(name, None)
            if found is not None:
                self._end(*found, outcome)
                return found[0], False
            if late is not None:
                self._given_up.remove(late)
                late.outcome = outcome
                self._count(late)
                outcome.tell(File(self.hub.report, describe(_clip(name), id=_clip_id(late.id)), is_retryable))
                return late, True
            if name in self._names and (id is None or any(key[0] == id for key in self._attempts)):
                return None
            entry, file = self._begin(filename, file_id, None)
            # Its beginning was not told: told again, it is another one.
            self._names.pop(name, None)
            self._attempts.pop((entry.id, entry.started_at), None)
            self._end(entry, file, outcome)
            return entry, False

    def _find(self, name: str, id: str | None) -> tuple[Entry, File] | None:
        named = [one for one in self._open if one[0].same(name, id)]
        own = [one for one in named if one[0].thread is threading.current_thread()]
        return next(iter(own or named), None)

    def _end(self, entry: Entry, file: File, outcome: Outcome) -> None:
        self._open = [one for one in self._open if one[0] is not entry]
        entry.outcome = outcome
        self._count(entry)
        outcome.tell(file)

    def _count(self, entry: Entry) -> None:
        if entry.outcome is not None:
            key = (entry.name, entry.outcome.kind)
            _remember(self._unclaimed, key, self._unclaimed.get(key, 0) + 1)

    def claim(self, name: str, kind: str) -> bool:
        """Whether such an end was told that no list of names has accounted for yet; it has now."""
        with self.lock:
            left = self._unclaimed.get((name, kind), 0)
            if left > 1:
                self._unclaimed[name, kind] = left - 1
            elif left:
                del self._unclaimed[name, kind]
            return left > 0

    def give_up(self, why: str, but: frozenset[str] = frozenset()) -> list[Entry]:
        """Ends what this process began and nobody ended, but for these ids and names. Gives what was ended."""
        with self.lock:
            left = [one for one in self._open if one[0].pid == os.getpid() and not {one[0].id, one[0].name} & but]
            for entry, file in left:
                self._end(entry, file, interrupted(why))
            self._given_up = [*self._given_up, *(entry for entry, _ in left)][-MOST:]
            return [entry for entry, _ in left]

    def attempt(self, id: str, started_at: str) -> Entry | None:
        """An attempt that was begun here, by its id and start."""
        with self.lock:
            return self._attempts.get((id, started_at))

    def count_open(self, name: str, id: str | None) -> int:
        """How many such files are open."""
        with self.lock:
            return sum(entry.same(name, id) for entry, _ in self._open)


def _remember(place: "OrderedDict[Any, Any]", key: Any, value: Any) -> None:
    place.pop(key, None)
    place[key] = value
    if len(place) > MOST:
        place.popitem(last=False)
