"""The files that a state lists, found by id, in the order of `seq`.

What may come in: any files, in any order. What it never does: change a file in place, so that a file that is the same
object is the same file.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ragpulse.models import FileStatus

Json = dict[str, Any]

FILE_FIELDS: Final = frozenset(FileStatus.model_fields)
_OPEN: Final = frozenset({"queued", "processing"})


def split(json: Mapping[str, Any], fields: frozenset[str]) -> tuple[Json, Json]:
    """The known fields that have a value, and the foreign ones."""
    known: Json = {}
    extra: Json = {}
    for key, value in json.items():
        if key not in fields:
            extra[key] = value
        elif value is not None:
            known[key] = value
    return known, extra


class FileEntry:
    """A listed file. What a later version says of it is in `extra`, apart from what the reducer keeps."""

    __slots__ = ("_json", "extra", "known")

    def __init__(self, known: Json, extra: Json) -> None:
        self.known = known
        self.extra = extra
        self._json: Json | None = None

    @classmethod
    def read(cls, json: Mapping[str, Any]) -> "FileEntry":
        """From how a snapshot lists it."""
        return cls(*split(json, FILE_FIELDS))

    @property
    def id(self) -> str:
        """What identifies it."""
        return str(self.known["id"])

    @property
    def state(self) -> str:
        """Where it stands."""
        return str(self.known["state"])

    @property
    def order(self) -> tuple[Any, str]:
        """By what files are ordered."""
        return self.known["seq"], self.id

    def write(self) -> Json:
        """As a snapshot lists it: the same object every time."""
        if self._json is None:
            self._json = {**self.known, **self.extra}
        return self._json


class FileTable:
    """The listed files."""

    __slots__ = ("_groups",)

    def __init__(self, files: Iterable[FileEntry] = ()) -> None:
        # One map per group that is limited by itself. Insertion order is the order of `seq`: an event's is the highest.
        self._groups: dict[str, dict[str, FileEntry]] = {"queued": {}, "processing": {}, "ended": {}}
        for file in sorted(files, key=lambda file: file.order):
            self.insert(file)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def get(self, file_id: str) -> FileEntry | None:
        """The file of this id."""
        for group in self._groups.values():
            if file_id in group:
                return group[file_id]
        return None

    def in_order(self) -> list[FileEntry]:
        """Every file, by `seq`."""
        return sorted((file for group in self._groups.values() for file in group.values()), key=lambda file: file.order)

    def insert(self, file: FileEntry) -> None:
        """Puts a file at the end of its group."""
        self.remove(file.id)
        self._group(file)[file.id] = file

    def replace(self, file: FileEntry) -> None:
        """Puts what is now known of a file in the place it has. Its state and `seq` must be the same."""
        self._group(file)[file.id] = file

    def remove(self, file_id: str) -> None:
        """Takes a file out."""
        for group in self._groups.values():
            group.pop(file_id, None)

    def evict(self, limits: Mapping[str, Any]) -> None:
        """Takes out what is beyond the limits: the newest open files, the oldest ended ones."""
        for name in _OPEN:
            group = self._groups[name]
            if len(group) > limits["open"]:
                for file_id in list(group)[int(limits["open"]) :]:
                    del group[file_id]
        ended = self._groups["ended"]
        while len(ended) > limits["ended"]:
            del ended[next(iter(ended))]

    def _group(self, file: FileEntry) -> dict[str, FileEntry]:
        return self._groups[file.state if file.state in _OPEN else "ended"]
