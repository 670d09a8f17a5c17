"""What the next load of a topic takes: all that waits, within bounds, and no loss unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from feldspar.graph.observed import (
    Messages,
    OffsetRange,
    PartitionState,
    TopicRead,
    TopicState,
)
from feldspar.graph.planning.topics import NextLoad, next_load
from feldspar.graph.steps import Status
from feldspar.spec.source import KafkaSource

SOURCE = KafkaSource(
    kind="kafka",
    servers="kafka:9092",
    topic="orders",
    event_time="at",
    known_time="ingested",  # type: ignore[arg-type]
)


def topic(*ends: tuple[int, int], read: Mapping[int, int] | None = None) -> TopicState:
    """A topic whose partitions have these oldest and next offsets."""
    partitions = tuple(PartitionState(number, *one) for number, one in enumerate(ends))
    known = None if read is None else TopicRead("orders", "id", read)
    return TopicState("orders", "id", partitions, known)


def loaded(
    state: TopicState, *, accept: bool = False, **settings: object
) -> tuple[NextLoad, list[tuple[int, int]]]:
    """The load, and its ranges."""
    found = next_load(state, SOURCE.model_copy(update=settings), accept=accept)
    ranges = found.messages.ranges if found.messages else ()
    return found, [(one.begin, one.upto) for one in ranges]


def test_the_first_load_takes_all_that_the_topic_still_holds() -> None:
    assert loaded(topic((7, 9), (0, 3)))[1] == [(7, 9), (0, 3)]


def test_the_first_load_of_latest_takes_nothing_and_notes_where_it_is() -> None:
    found, ranges = loaded(topic((7, 9), (0, 3)), start="latest")

    assert (found.status, ranges) == (Status.RUN, [(9, 9), (3, 3)])


def test_what_comes_after_is_read_whatever_start_says() -> None:
    assert loaded(topic((0, 9), read={0: 4}), start="latest")[1] == [(4, 9)]


def test_a_partition_that_is_new_is_read_from_its_first_message() -> None:
    assert loaded(topic((0, 4), (0, 3), read={0: 4}), start="latest")[1] == [(4, 4), (0, 3)]


def test_messages_of_a_new_partition_that_are_gone_already_are_lost() -> None:
    found, _ = loaded(topic((0, 4), (2, 3), read={0: 4}))

    text = "2 messages were deleted before they were read (partition 1: 0 to 1)"
    assert (found.status, found.reason) == (
        Status.BLOCKED,
        f"{text}: say --accept to go on with what is there",
    )


def test_a_loss_of_all_that_waited_is_listed_once_it_is_agreed_to() -> None:
    found, _ = loaded(topic((9, 9), read={0: 4}), accept=True)

    assert found == NextLoad(
        Status.RUN,
        "5 messages were deleted before they were read (partition 0: 4 to 8); nothing else waits",
        Messages("orders", "id", (OffsetRange(0, 9, 9, lost=5),)),
    )


def test_a_topic_that_holds_less_than_was_read_is_blocked_and_then_read_from_its_end() -> None:
    state = topic((0, 4), read={0: 6})

    assert loaded(state)[0].reason == (
        "topic orders holds less than was read (partition 0: ends at 4, read up to 6): "
        "say --accept to go on with what is there"
    )
    assert loaded(state, accept=True)[1] == [(4, 4)]


def test_another_topic_in_place_of_the_one_that_was_read_is_blocked() -> None:
    state = replace(topic((0, 4), read={0: 2}), topic="orders2", topic_id="other")

    found, _ = loaded(state)

    text = "topic orders2 is read in place of orders: say --accept to go on and read it from its"
    assert (found.status, found.reason) == (Status.BLOCKED, f"{text} start")


def test_a_topic_made_anew_is_read_from_its_start_once_it_is_agreed_to() -> None:
    state = replace(topic((0, 4), read={0: 2}), topic_id="other")

    assert loaded(state, accept=True)[1] == [(0, 4)]


def test_more_losses_than_can_be_shown_are_counted() -> None:
    found, _ = loaded(topic(*[(1, 2)] * 5, read={}))

    assert found.reason.startswith("5 messages were deleted before they were read (partition 0: 0")
    assert "; ...)" in found.reason


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(1, 90))
def test_loads_within_bounds_end_with_all_read_and_nothing_twice(
    sizes: list[int], most: int
) -> None:
    ends = [(0, size) for size in sizes]
    read: dict[int, int] = {}
    for _ in range(sum(sizes) + 1):
        found, ranges = loaded(topic(*ends, read=read), most=most)
        if found.status is Status.NOTHING:
            break
        assert found.messages is not None
        assert 0 < found.messages.count <= most
        assert [begin for begin, _ in ranges] == [read.get(one, 0) for one in range(len(sizes))]
        read = {one.partition: one.upto for one in found.messages.ranges}
    assert list(read.values() or [0]) == (sizes if any(sizes) else [0])
