"""Put the records of dead letters back on the input topic, each of them once.

    1. take over the transactional id       an earlier replay is fenced, its transaction ends
    2. read which records were replayed     the marks in the topic of the dead letters
    3. for some hundred letters at a time, in one transaction:
           write the records to the input, and a mark that names them beside their letters

A replay that is killed between the transactions has replayed whole ones; inside of one, nothing of
it becomes visible. The next replay begins with 1, so of two at once the first one fails. Marks come
after their letters in the same partition, so retention deletes the letters first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.broker.port import Broker, Producer
from eddycast.service.dead_letters.letter import MARK, Letter, mark_of
from eddycast.service.errors import TopicMissing
from eddycast.service.records import Headers
from eddycast.service.redrive.letters import LetterTopic, Selection
from eddycast.service.redrive.lines import Edited
from eddycast.service.settings.settings import Settings

#: Header of a replayed record: broker time of the rejected one, ms.
ORIGINAL_TIME = MARK + ".timestamp"
#: Maximum records and approximate maximum bytes of a transaction.
_RECORDS, _BYTES = 500, 4_000_000
#: Refusals that are kept with their place.
_NAMED = 20

_TRUNCATED = "it is truncated: send the whole record from its source"
_BATCH = "it stands for a record batch that could not be read"
_FOREIGN = "it is not of the topic {topic}"
_NOWHERE = "partition {partition} of {topic} does not exist"
_REKEYED = "its key was changed: name the producers' partitioner with --partitioner"
_OTHER = "the line belongs to another letter than the topic has there"
_AT_ODDS = "another line of the file is of the same record, and differs: give both the same edit"
_GONE = "the topic does not have it, or not any more"


@dataclass(slots=True)
class Report:
    """Counts of the chosen letters by outcome."""

    replayed: int = 0  # records
    before: int = 0  # letters whose record was replayed by an earlier run
    together: int = 0  # letters whose record was replayed with another of its letters
    refused: Counter[str] = field(default_factory=Counter)  # letters by reason
    named: list[tuple[str, str]] = field(default_factory=list)  # places of the first of them

    def refuse(self, place: str, reason: str) -> None:
        """Count a letter that cannot be replayed."""
        self.refused[reason] += 1
        if len(self.named) < _NAMED:
            self.named.append((place, reason))


@dataclass(frozen=True, slots=True)
class Changes:
    """Edited records by the place of their letter, and the partitioner for changed keys."""

    edited: Mapping[tuple[int, int], Edited]
    partitioner: str | None = None


def replay(
    broker: Broker,
    settings: Settings,
    selection: Selection,
    changes: Changes | None = None,
    dry_run: bool = False,
) -> Report:
    """Replay the records of the chosen letters that were not replayed before; of those in
    `changes` only. With `dry_run` nothing is written. Raises TopicMissing, BrokerError."""
    topics = settings.topics
    with broker.admin() as admin:
        partitions = admin.partitions(topics.input)
    if partitions is None:
        raise TopicMissing(f"there is no topic {topics.input}", "set topics.input")
    work = _Replay(topics.input, partitions, changes)
    if dry_run:
        return work.run(_topic(broker, settings), selection, None)
    prefix, within_s = settings.commit.transactional_prefix, settings.waits.commit_s
    with broker.producer(f"{prefix}-replay-{topics.dead_letters}", within_s) as producer:
        source = _topic(broker, settings)  # after earlier replays were fenced
        return work.run(
            source, selection, _Transactions(producer, topics.input, source.name, within_s)
        )


def _topic(broker: Broker, settings: Settings) -> LetterTopic:
    patience_s = settings.waits.transactions_s
    return LetterTopic(broker, settings.topics.dead_letters, patience_s)


class _Replay:
    """Decides what becomes of each letter."""

    def __init__(self, topic: str, partitions: int, changes: Changes | None) -> None:
        self._topic, self._partitions, self._changes = topic, partitions, changes
        self._report = Report()
        #: Places of the file that the topic has not shown yet.
        self._missing = set() if changes is None else set(changes.edited)
        self._at_odds = set() if changes is None else _at_odds(changes.edited.values())

    def run(self, source: LetterTopic, selection: Selection, into: _Transactions | None) -> Report:
        """Replay into transactions, None = only report."""
        taken: set[str] = set()
        for letter in selection.chosen(self._edited(source.letters())):
            if letter.identity in source.replayed:
                self._report.before += 1
            elif letter.identity in taken:
                self._report.together += 1
            elif (record := self._record(letter)) is not None:
                taken.add(letter.identity)
                self._report.replayed += 1
                if into is not None:
                    into.add(letter, *record)
        if into is not None:
            into.commit()
        for partition, offset in sorted(self._missing):
            self._report.refuse(f"{partition}:{offset}", _GONE)
        return self._report

    def _edited(self, letters: Iterable[Letter]) -> Iterator[Letter]:
        """Yield those of the file, if there is one."""
        for letter in letters:
            place = letter.partition, letter.offset
            if self._changes is None or place in self._changes.edited:
                self._missing.discard(place)
                yield letter

    def _record(self, letter: Letter) -> tuple[int, Letter] | None:
        """The partition and the record to send, None if it is refused."""
        if letter.identity in self._at_odds:
            self._report.refuse(letter.place, _AT_ODDS)
            return None
        record, is_other = letter, False
        if self._changes is not None:
            line = self._changes.edited[letter.partition, letter.offset]
            record = replace(letter, key=line.key, value=line.value, headers=line.headers)
            is_other = line.identity != letter.identity
        partition = self._partition(letter, record.key)
        reason = _OTHER if is_other else self._refusal(letter, partition)
        if reason or partition is None:
            self._report.refuse(letter.place, reason or _REKEYED)
            return None
        return partition, record

    def _partition(self, letter: Letter, key: bytes | None) -> int | None:
        """The partition that the record came from, or to which a changed key belongs; None if that
        is not known."""
        if key == letter.key:
            return letter.record_partition
        if self._changes is None or self._changes.partitioner is None:
            return 0 if self._partitions == 1 else None
        return PARTITIONERS[self._changes.partitioner](key or b"") % self._partitions

    def _refusal(self, letter: Letter, partition: int | None) -> str:
        if letter.is_batch:
            return _BATCH
        if letter.is_truncated:
            return _TRUNCATED
        if letter.topic != self._topic:
            return _FOREIGN.format(topic=self._topic)
        if partition is not None and not 0 <= partition < self._partitions:
            return _NOWHERE.format(partition=partition, topic=self._topic)
        return ""


def _at_odds(lines: Iterable[Edited]) -> set[str]:
    """Identities of records of which lines say different things."""
    said: dict[str, tuple[object, ...]] = {}
    found = set()
    for line in lines:
        record = line.key, line.value, line.headers
        if said.setdefault(line.identity, record) != record:
            found.add(line.identity)
    return found


class _Transactions:
    """Records and their marks, written together."""

    def __init__(self, producer: Producer, topic: str, letters: str, within_s: float) -> None:
        self._producer, self._topic, self._letters = producer, topic, letters
        self._within_s = within_s
        self._records: dict[int, list[Letter]] = {}  # by partition of the input
        self._marks: dict[int, list[str]] = {}  # identities by partition of their letters
        self._count = self._bytes = 0

    def add(self, letter: Letter, partition: int, record: Letter) -> None:
        """Queue a record for a partition of the input. Raises BrokerError."""
        self._records.setdefault(partition, []).append(record)
        self._marks.setdefault(letter.partition, []).append(letter.identity)
        self._count += 1
        self._bytes += len(record.key or b"") + len(record.value or b"")
        if self._count >= _RECORDS or self._bytes >= _BYTES:
            self.commit()

    def commit(self) -> None:
        """Write what is queued in one transaction. Raises BrokerError."""
        if not self._count:
            return
        self._producer.begin()
        for partition, records in self._records.items():
            keys, values = [one.key for one in records], [one.value for one in records]
            headers = [headers_of(one) for one in records]
            self._producer.produce(self._topic, partition, keys, values, headers)
        for partition, identities in self._marks.items():
            value, headers_of_mark = mark_of(identities)
            self._producer.produce(self._letters, partition, [None], [value], [headers_of_mark])
        self._producer.commit(self._within_s)
        self._records, self._marks, self._count, self._bytes = {}, {}, 0, 0


def headers_of(record: Letter) -> Headers:
    """The record's own headers, and its time unless an earlier replay has added it."""
    if record.record_time < 0 or any(name == ORIGINAL_TIME for name, _ in record.headers):
        return record.headers
    return [*record.headers, (ORIGINAL_TIME, b"%d" % record.record_time)]
