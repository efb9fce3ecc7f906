"""The bounded queue of a reporter: what waits to be sent, in order, and the one batch that is under way.

What may come in: events already encoded, in any number. What it never does: I/O; grow past its bounds by an event that
was not forced; conflate an event that must arrive; change the order of events.

When there is no room, progress gives way first, then, for the end of a file, what is not an end. What then finds no
room is dropped and counted.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

PROGRESS: Final = 0
"""Of these only the latest counts."""
USUAL: Final = 1
"""These must arrive."""
VITAL: Final = 2
"""Ends of files, and the pipeline's own coming and going: these take the room of all others."""

Rank = Literal[0, 1, 2]
Effect = Literal["online", "offline", "begin", "end", "progress", "other"]

RANKS: Final[dict[str, Rank]] = {
    "file:progress": PROGRESS,
    **dict.fromkeys(("file:completed", "file:failed", "file:skipped", "file:cancelled"), VITAL),
    **dict.fromkeys(("file:deleted", "file:retrying", "pipeline:online", "pipeline:offline"), VITAL),
}
"""The rank of each event that is not usual."""

EFFECTS: Final[dict[str, Effect]] = {
    "pipeline:online": "online",
    "pipeline:offline": "offline",
    "file:processing": "begin",
    "file:progress": "progress",
    **dict.fromkeys(("file:completed", "file:failed", "file:skipped"), "end"),
    **dict.fromkeys(("file:cancelled", "file:deleted", "file:retrying"), "end"),
}
"""What each event does to the reporter's own picture of its pipeline."""


class Item(NamedTuple):
    """An event ready to be sent."""

    json: bytes
    """With its id: a resend is the same to the byte."""
    rank: Rank
    effect: Effect
    file: str = ""
    """Which file it is about, where it is about one."""
    stage: str | None = None
    """The stage of a progress."""
    data: bytes = b""
    """The own fields of an `online` or `begin`, to tell them again to a hub that forgot."""
    reopening: bool = False
    """Whether the reporter made it to re-open its pipeline."""


class Queue:
    """What waits, and what is under way."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        # By rank, each in the order of its places; a smaller place is sent earlier.
        self._waiting: tuple[OrderedDict[int, Item], ...] = (OrderedDict(), OrderedDict(), OrderedDict())
        self._progress: dict[str, list[int]] = {}
        self._under_way: list[tuple[int, Item]] = []
        self._bytes = 0
        self._progress_bytes = 0
        self._usual_bytes = 0
        self.next = 0
        """The place of the next event."""
        self.given_up = 0
        """How many progress events were superseded or dropped."""
        self.dropped = 0
        """How many other events found no room."""

    def __len__(self) -> int:
        progress, usual, vital = self._waiting
        return len(progress) + len(usual) + len(vital) + len(self._under_way)

    @property
    def bytes(self) -> int:
        """Bytes of JSON, of what waits and of what is under way."""
        return self._bytes

    @property
    def under_way(self) -> int:
        """How many events are under way."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self) - len(self._under_way)

    def is_settled_before(self, place: int) -> bool:
        """Whether nothing is left of what was pushed before this place."""
        if self._under_way and self._under_way[0][0] < place:
            return False
        return all(next(iter(items)) >= place for items in self._waiting if items)

    def push(self, item: Item, *, force: bool = False) -> bool:
        """Takes an event; whether it did. Past the bounds if forced; callers bound that themselves."""
        size = len(item.json)
        if item.rank == PROGRESS:
            self._supersede(item, size)
            if not self._has_room(size):
                self.given_up += 1
                return False
        else:
            # What is refused must change nothing, so room is looked for before it is made.
            if not force and not self._has_room(size) and not self._could_have_room(item.rank, size):
                self.dropped += 1
                return False
            if item.effect == "end":
                self._cancel_progress(item.file)
            while not force and not self._has_room(size) and self._evict(item.rank):
                pass
        self._put(self.next, item)
        self.next += 1
        return True

    def take(self, max_events: int, max_bytes: int) -> list[Item]:
        """Puts the next batch under way: at least one event if any waits; the same one while one is under way."""
        if not self._under_way:
            size = 2
            while len(self._under_way) < max_events:
                place = min((next(iter(items)) for items in self._waiting if items), default=None)
                if place is None:
                    break
                item = next(items[place] for items in self._waiting if place in items)
                size += len(item.json) + 1
                if self._under_way and size > max_bytes:
                    break
                self._remove(place, item)
                self._bytes += len(item.json)
                self._under_way.append((place, item))
        return [item for _, item in self._under_way]

    def settle(self) -> list[Item]:
        """The batch under way arrived: it is handed back for good."""
        settled = [item for _, item in self._under_way]
        self._bytes -= sum(len(item.json) for item in settled)
        self._under_way = []
        return settled

    def give_back(self) -> None:
        """The batch under way did not arrive: it waits again, before everything else and in its order."""
        batch, self._under_way = self._under_way, []
        for place, item in reversed(batch):
            self._bytes -= len(item.json)
            self._put_first(place, item)

    def set_aside(self, index: int) -> Item:
        """Takes one event of the batch under way out for good; the rest waits again."""
        _, item = self._under_way.pop(index)
        self._bytes -= len(item.json)
        self.give_back()
        return item

    def reopen(self, items: Iterable[Item]) -> None:
        """Puts events that re-open the pipeline before all that waits, in place of earlier ones; past the bounds."""
        for waiting in self._waiting:
            for place, item in [(place, item) for place, item in waiting.items() if item.reopening]:
                self._remove(place, item)
        place = min((next(iter(waiting)) for waiting in self._waiting if waiting), default=self.next)
        for item in reversed(list(items)):
            place -= 1
            self._put_first(place, item)

    def _has_room(self, size: int) -> bool:
        return len(self) < self._max_events and self._bytes + size <= self._max_bytes

    def _could_have_room(self, rank: Rank, size: int) -> bool:
        progress, usual, _ = self._waiting
        events, room = len(self) - len(progress), self._bytes - self._progress_bytes
        if rank == VITAL:
            events, room = events - len(usual), room - self._usual_bytes
        return events < self._max_events and room + size <= self._max_bytes

    def _evict(self, rank: Rank) -> bool:
        progress, usual, _ = self._waiting
        if progress:
            self._remove(*next(iter(progress.items())))
            self.given_up += 1
        elif usual and rank == VITAL:
            self._remove(*next(iter(usual.items())))
            self.dropped += 1
        else:
            return False
        return True

    def _count(self, item: Item, sign: int) -> None:
        size = sign * len(item.json)
        self._bytes += size
        if item.rank == PROGRESS:
            self._progress_bytes += size
        elif item.rank == USUAL:
            self._usual_bytes += size

    def _put(self, place: int, item: Item) -> None:
        if item.rank == PROGRESS:
            self._progress.setdefault(item.file, []).append(place)
        self._count(item, 1)
        self._waiting[item.rank][place] = item

    def _put_first(self, place: int, item: Item) -> None:
        if item.rank == PROGRESS:
            self._progress.setdefault(item.file, []).insert(0, place)
        self._count(item, 1)
        waiting = self._waiting[item.rank]
        waiting[place] = item
        waiting.move_to_end(place, last=False)

    def _remove(self, place: int, item: Item) -> None:
        del self._waiting[item.rank][place]
        self._count(item, -1)
        if item.rank == PROGRESS:
            places = self._progress[item.file]
            places.remove(place)
            if not places:
                del self._progress[item.file]

    def _supersede(self, item: Item, size: int) -> None:
        """Takes out the waiting progress that a newer one makes needless: of its stage; all where there is no room."""
        places = self._progress.get(item.file)
        if not places:
            return
        progress = self._waiting[PROGRESS]
        if self._has_room(size):
            needless = [place for place in places[-1:] if progress[place].stage == item.stage]
        else:
            needless = list(places)
        for place in needless:
            self._remove(place, progress[place])
            self.given_up += 1

    def _cancel_progress(self, file: str) -> None:
        for place in list(self._progress.get(file, ())):
            self._remove(place, self._waiting[PROGRESS][place])
            self.given_up += 1
