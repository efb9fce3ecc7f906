"""The queue: bounded, in order, and what gives way when there is no room."""

from hypothesis import given
from hypothesis import strategies as st

from ragpulse._reporter.queue import EFFECTS, RANKS, USUAL, VITAL, Item, Queue


def item(event: str, file: str = "a", stage: str | None = None, size: int = 10, reopening: bool = False) -> Item:
    name = f"{event}/{file}/{stage}".encode().ljust(size, b".")
    return Item(name, RANKS.get(event, USUAL), EFFECTS.get(event, "other"), file, stage, reopening=reopening)


def begin(file: str = "a") -> Item:
    return item("file:processing", file)


def end(file: str = "a") -> Item:
    return item("file:completed", file)


def progress(file: str = "a", stage: str | None = None) -> Item:
    return item("file:progress", file, stage)


def test_events_go_out_in_their_order_in_batches() -> None:
    queue = Queue(100, 10_000)
    items = [begin("a"), begin("b"), end("a"), progress("b"), end("c")]
    assert all(queue.push(one) for one in items)
    assert queue.take(3, 10_000) == items[:3]
    assert queue.take(3, 10_000) == items[:3], "the same one while it is under way"
    assert queue.settle() == items[:3]
    assert queue.take(3, 10_000) == items[3:]
    queue.settle()
    assert (len(queue), queue.bytes, queue.take(3, 10_000)) == (0, 0, [])


def test_a_batch_is_bounded_in_bytes_but_holds_one_event() -> None:
    queue = Queue(100, 10_000)
    for size in (50, 500, 50):
        queue.push(item("x:big", size=size))
    assert [len(one.json) for one in queue.take(10, 100)] == [50]
    queue.settle()
    assert [len(one.json) for one in queue.take(10, 100)] == [500]


def test_what_did_not_arrive_waits_again_before_all_else() -> None:
    queue = Queue(100, 10_000)
    items = [progress("p"), begin("a"), end("a")]
    for one in items:
        queue.push(one)
    queue.take(2, 10_000)
    queue.push(end("b"))
    queue.give_back()
    assert queue.take(10, 10_000) == [*items, end("b")]


def test_progress_is_conflated_by_file_and_stage() -> None:
    queue = Queue(100, 10_000)
    for one in (progress("a", "x"), progress("b", "x"), progress("a", "x"), progress("a", "y"), progress("a", "y")):
        queue.push(one)
    assert queue.take(10, 10_000) == [progress("b", "x"), progress("a", "x"), progress("a", "y")]
    assert queue.given_up == 2


def test_the_end_of_a_file_cancels_its_progress() -> None:
    queue = Queue(100, 10_000)
    for one in (begin(), progress("a", "x"), progress("b"), progress("a", "y"), end()):
        queue.push(one)
    assert queue.take(10, 10_000) == [begin(), progress("b"), end()]


def test_when_it_is_full_progress_gives_way_first_and_ends_of_files_last() -> None:
    queue = Queue(4, 10_000)
    for one in (begin("a"), progress("a"), begin("b"), progress("b")):
        assert queue.push(one)
    assert not queue.push(progress("c")), "new progress is dropped"
    assert queue.push(begin("c"))
    assert queue.push(end("b"))
    assert queue.given_up == 3
    assert not queue.push(begin("d")), "there is nothing lesser to give way"
    assert queue.dropped == 1
    assert queue.push(end("c")), "an end takes the room of the oldest begin"
    assert queue.dropped == 2
    assert queue.take(10, 10_000) == [begin("b"), begin("c"), end("b"), end("c")]
    queue.give_back()
    assert queue.push(end("d"))
    assert queue.push(end("e"))
    assert not queue.push(end("f")), "full of ends"
    assert queue.push(item("pipeline:offline"), force=True)
    assert [one.rank for one in queue.take(10, 10_000)] == [VITAL] * 5


def test_newer_progress_takes_the_place_of_older_when_there_is_no_room() -> None:
    queue = Queue(2, 10_000)
    queue.push(begin("a"))
    queue.push(progress("a", "x"))
    assert queue.push(progress("a", "y"))
    assert queue.take(10, 10_000) == [begin("a"), progress("a", "y")]


def test_bytes_are_bounded_too() -> None:
    queue = Queue(100, 100)
    assert queue.push(item("x:a", size=60))
    assert not queue.push(item("x:a", size=60))
    assert queue.push(item("file:completed", size=60)), "it takes the room of what is no end"
    assert (queue.bytes, len(queue)) == (60, 1)


def test_reopening_comes_first_and_once() -> None:
    queue = Queue(2, 10_000)
    queue.push(end("a"))
    queue.push(end("b"))
    first = [item("pipeline:online", reopening=True), item("file:processing", "x", reopening=True)]
    queue.reopen([item("pipeline:online", stage="old", reopening=True)])
    queue.reopen(first)
    assert queue.take(10, 10_000) == [*first, end("a"), end("b")]


def test_a_place_is_settled_when_all_before_it_is() -> None:
    queue = Queue(10, 10_000)
    assert queue.is_settled_before(queue.next)
    queue.push(begin())
    place = queue.next
    queue.push(end())
    assert not queue.is_settled_before(place)
    queue.take(1, 10_000)
    assert not queue.is_settled_before(place)
    queue.settle()
    assert queue.is_settled_before(place)
    assert not queue.is_settled_before(queue.next)


def test_one_event_is_set_aside() -> None:
    queue = Queue(10, 10_000)
    for file in "abc":
        queue.push(end(file))
    queue.take(3, 10_000)
    assert queue.set_aside(1) == end("b")
    assert queue.take(3, 10_000) == [end("a"), end("c")]
    assert queue.bytes == sum(len(one.json) for one in (end("a"), end("c")))


commands = st.one_of(
    st.tuples(
        st.just("push"),
        st.builds(
            item,
            st.sampled_from([*EFFECTS, "status:update"]),
            st.sampled_from("abc"),
            st.sampled_from([None, "x", "y"]),
            st.integers(5, 60),
        ),
    ),
    st.tuples(st.sampled_from(["take", "settle", "give_back", "aside", "reopen"]), st.integers(1, 4)),
)


@given(st.lists(commands, max_size=60), st.integers(1, 8), st.integers(40, 300))
def test_it_is_bounded_and_in_order_whatever_happens(steps: list[tuple[str, object]], events: int, size: int) -> None:
    queue = Queue(events, size)
    forced = 0
    for command, what in steps:
        if command == "push":
            assert isinstance(what, Item)
            queue.push(what)
        elif command == "take":
            assert isinstance(what, int)
            queue.take(what, 100)
        elif command == "settle":
            queue.settle()
        elif command == "give_back":
            queue.give_back()
        elif command == "aside":
            if queue.under_way:
                queue.set_aside(0)
        elif not queue.under_way:
            queue.reopen([item("file:processing", "r", reopening=True)])
            forced = 1
        assert len(queue) <= events + forced
        assert queue.bytes <= size + forced * 60
        assert queue.bytes >= 0
    queue.give_back()
    waiting = queue.take(1000, 10**9)
    # All that is left comes out.
    assert len(waiting) == len(queue)
    assert sum(len(one.json) for one in waiting) == queue.bytes
    queue.settle()
    assert (len(queue), queue.bytes) == (0, 0)
