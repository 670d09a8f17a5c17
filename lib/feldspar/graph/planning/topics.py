"""Which messages of a topic the next load takes, and what must be agreed to first.

What retention has deleted unread, and a topic that is another one than was read, are never passed
over in silence: the step is blocked, says what is lost, and goes on after ``--accept``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from feldspar.graph.observed import Messages, OffsetRange, PartitionState, TopicState
from feldspar.graph.steps import Status
from feldspar.spec.source import KafkaSource


@dataclass(frozen=True)
class NextLoad:
    """What a step that reads a topic would do."""

    status: Status
    reason: str
    messages: Messages | None = None


def next_load(topic: TopicState, source: KafkaSource, *, accept: bool) -> NextLoad:
    """The messages that wait, ``source.most`` at most, each partition its share of them."""
    waiting = [_waiting(one, topic, source) for one in topic.partitions]
    loss = _loss(topic, waiting)
    if loss and not accept:
        return NextLoad(Status.BLOCKED, f"{loss}: say --accept to go on {_where(topic)}")
    ranges = tuple(_shares(waiting, source.most))
    messages = Messages(topic.topic, topic.topic_id, ranges)
    number = sum(one.upto - one.begin for one in waiting)
    if number:
        reason = _told(waiting, number, taken=messages.count)
        return NextLoad(Status.RUN, f"{loss}; {reason}" if loss else reason, messages)
    if loss:
        return NextLoad(Status.RUN, f"{loss}; nothing else waits", messages)
    if topic.read is None and source.start == "latest":
        return NextLoad(Status.RUN, "begins with what comes from now on: notes where", messages)
    return NextLoad(Status.NOTHING, f"no new messages in {len(waiting)} partitions")


def _waiting(one: PartitionState, topic: TopicState, source: KafkaSource) -> OffsetRange:
    """All that waits in a partition."""
    if topic.read is None:
        begin = one.end if source.start == "latest" else one.first
        return OffsetRange(one.partition, begin, one.end)
    if topic.read.topic_id != topic.topic_id:
        return OffsetRange(one.partition, one.first, one.end)
    # a partition that was added since is read from its very first message
    read = topic.read.upto.get(one.partition, 0)
    begin = min(max(read, one.first), one.end)
    return OffsetRange(one.partition, begin, one.end, lost=max(one.first - read, 0))


def _loss(topic: TopicState, waiting: Sequence[OffsetRange]) -> str:
    """What cannot be read any more, or is not what was read; empty where all is well."""
    read = topic.read
    if read is None:
        return ""
    if read.topic != topic.topic:
        return f"topic {topic.topic} is read in place of {read.topic}"
    if read.topic_id != topic.topic_id:
        total = sum(read.upto.values())
        return f"topic {topic.topic} was made anew since {total:,} messages of it were read"
    short = [one for one in waiting if one.upto < read.upto.get(one.partition, 0)]
    if short:
        places = [
            (one, f"ends at {one.upto}, read up to {read.upto[one.partition]}") for one in short
        ]
        return f"topic {topic.topic} holds less than was read ({_listed(places)})"
    gone = [one for one in waiting if one.lost]
    if gone:
        number = sum(one.lost for one in gone)
        places = [(one, f"{one.begin - one.lost} to {one.begin - 1}") for one in gone]
        return f"{number:,} messages were deleted before they were read ({_listed(places)})"
    return ""


def _listed(places: Sequence[tuple[OffsetRange, str]]) -> str:
    shown = [f"partition {one.partition}: {text}" for one, text in places[:3]]
    return "; ".join([*shown, *(["..."] if len(places) > len(shown) else [])])


def _where(topic: TopicState) -> str:
    another = topic.read is not None and topic.read.topic_id != topic.topic_id
    return "and read it from its start" if another else "with what is there"


def _told(waiting: Sequence[OffsetRange], number: int, *, taken: int) -> str:
    partitions = sum(1 for one in waiting if one.upto > one.begin)
    text = f"{number:,} messages wait in {partitions} partitions"
    return text if taken == number else f"{text}, {taken:,} are taken by this load"


def _shares(waiting: Sequence[OffsetRange], most: int) -> list[OffsetRange]:
    """The ranges cut so that they hold ``most`` in all; what is cut off is ``left``."""
    number = sum(one.upto - one.begin for one in waiting)
    cut = []
    for one in waiting:
        size = one.upto - one.begin
        # of what is still to be given, as much as its part of what still waits
        taken = size if number <= most else most * size // number
        number, most = number - size, most - taken
        cut.append(replace(one, upto=one.begin + taken, left=size - taken))
    return cut
