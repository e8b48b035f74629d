"""The bulk path against kafka-python's own: the same bytes mean the same records,
read or written either way."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaProducer as Client
from kafka import TopicPartition
from kafka import errors as vendor
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.batch_header import CRC_AT, CRC_FROM, HEAD
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.kafka.bulk_reading import _Fetched
from eddycast.service.broker.kafka.bulk_writing import _Encoded
from eddycast.service.broker.kafka.columns import batches
from eddycast.service.broker.kafka.fetched import Screen
from eddycast.service.broker.kafka.public_reading import _Fetched as _Public
from eddycast.service.broker.kafka.record_decoder import (
    MALFORMED,
    PART,
    Columns,
    MalformedBatch,
    decode,
    decoded_headers,
)
from eddycast.service.broker.kafka.record_encoder import encode
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.output import Codec
from eddycast.service.varint import varint
from tests.broker.test_kafka import QUICK, KafkaHarness
from tests.broker.tools import PATIENCE_S, Bench, begin, numbers, read_to

WHERE = TopicPartition("t", 3)
COMMITTED = 1
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
LIMIT = 1 << 25

# key, value, headers, time
Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]], int]
blobs = (
    st.none()
    | st.binary(max_size=200)
    | st.sampled_from([b"x" * 63, b"x" * 64, b"y" * 8191, b"z" * 8192])
)
headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3)
records = st.lists(
    st.tuples(blobs, blobs, headers, st.integers(0, 1 << 45)), min_size=1, max_size=40
)


@dataclass
class Log:
    """The bytes of a partition, batch by batch, as a broker would hand them out."""

    data: bytes = b""
    end: int = 0
    aborts: list[Any] = field(default_factory=list)

    def add(
        self,
        batch: list[Record],
        codec: int = NONE,
        producer: int = -1,
        log_time: int | None = None,
        skip: int = 0,
    ) -> Log:
        """Append a batch; with `skip` compaction has left only every so manieth record."""
        epoch = sequence = -1 if producer < 0 else 0
        builder = DefaultRecordBatchBuilder(
            2, codec, producer >= 0, producer, epoch, sequence, 1 << 24
        )
        for row, (key, value, own, stamp) in enumerate(batch):
            if not skip or row % skip == 0:
                builder.append(row, stamp, key, value, own)
        self._append(bytearray(builder.build()), len(batch), log_time)
        return self

    def end_transaction(self, producer: int, commit: bool, first: int = 0) -> Log:
        """Append a control batch."""
        builder = DefaultRecordBatchBuilder(2, NONE, True, producer, 0, -1, 1 << 20)
        builder.append(0, 1_700_000_000_000, struct.pack(">hh", 0, int(commit)), b"\0" * 6, [])
        self._append(bytearray(builder.build()), 1, None, attributes=0x20)
        if not commit:
            self.aborts.append(SimpleNamespace(producer_id=producer, first_offset=first))
        return self

    def _append(
        self, batch: bytearray, count: int, log_time: int | None, attributes: int = 0
    ) -> None:
        struct.pack_into(">q", batch, 0, self.end)
        struct.pack_into(">i", batch, 23, count - 1)
        struct.pack_into(
            ">h",
            batch,
            21,
            struct.unpack_from(">h", batch, 21)[0] | attributes | (log_time is not None) * 8,
        )
        if log_time is not None:
            struct.pack_into(">q", batch, 35, log_time)
        struct.pack_into(">I", batch, CRC_AT, calc_crc32c(memoryview(batch)[CRC_FROM:]))
        self.data += bytes(batch)
        self.end += count


def plain(batch: PartitionBatch) -> list[tuple[Any, ...]]:
    return list(
        zip(
            batch.keys, batch.values, batch.timestamps.tolist(), batch.offsets.tolist(), strict=True
        )
    )


def read(
    kind: type,
    log: Log,
    begin: int = 0,
    isolation: int = COMMITTED,
    most: int = 7,
    limit: int = LIMIT,
) -> tuple[list[Any], int]:
    """Everything in `log` from an offset on, taken a few at a time, and where the next fetch would
    start. A batch that cannot be read is there with its damage."""
    screen, position, found = Screen(limit), begin, list[Any]()
    for _ in range(2):  # what looks damaged is fetched once more
        part = kind(
            screen,
            position,
            WHERE,
            MemoryRecords(log.data),
            check_crcs=True,
            isolation_level=isolation,
            aborted_transactions=log.aborts,
        )
        while part:
            taken = part.take(most)
            assert len(taken) <= most
            for batch in batches({WHERE: list(taken)}):
                found += [
                    (*row, batch.damaged[row[3]]) if row[3] in batch.damaged else row
                    for row in plain(batch)
                ]
        position = part.next_fetch_offset
    return found, position


def same_both_ways(log: Log, **how: Any) -> list[Any]:
    bulk, public = read(_Fetched, log, **how), read(_Public, log, **how)
    assert bulk == public
    return bulk[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(records, st.sampled_from(range(5))), min_size=1, max_size=4), st.data())
def test_any_records_read_the_same(
    parts: list[tuple[list[Record], int]], data: st.DataObject
) -> None:
    log = Log()
    for batch, codec in parts:
        log.add(batch, codec)
    begin, most = data.draw(st.integers(0, log.end - 1)), data.draw(st.integers(1, 50))
    found = same_both_ways(log, begin=begin, most=most)
    assert len(found) == log.end - begin


@settings(max_examples=60, deadline=None)
@given(records, st.integers(100, 5000), st.sampled_from(range(5)))
def test_any_records_are_written_the_same(batch: list[Record], limit: int, codec: int) -> None:
    """A column becomes as many batches as the limit requires; the client's own reader returns each
    record. A batch that compression would make larger is not compressed."""
    keys, values, own = [r[0] for r in batch], [r[1] for r in batch], [r[2] for r in batch]
    found = []
    for body, count in encode(keys, values, own, limit):
        assert len(body) <= limit or count == 1
        encoded = _Encoded(body, count, 1_700_000_000_000, codec)
        encoded.set_producer_state(7, 1, 5, True)
        encoded.close()
        (read_back,) = MemoryRecords(bytes(encoded.buffer() or b""))
        assert encoded.size_in_bytes() <= HEAD.size + len(body)
        packed = encoded.compression_rate() < 1
        assert read_back.compression_type == (codec if packed else NONE)
        assert read_back.validate_crc() and read_back.is_transactional
        assert (read_back.producer_id, read_back.producer_epoch, read_back.base_sequence) == (
            7,
            1,
            5,
        )
        found += [(r.key, r.value, r.headers, r.timestamp) for r in read_back]
    assert found == [(key, value, head, 1_700_000_000_000) for key, value, head, _ in batch]


@settings(max_examples=60, deadline=None)
@given(records)
def test_headers_are_read_as_they_were_written(batch: list[Record]) -> None:
    keys, values, own = [r[0] for r in batch], [r[1] for r in batch], [r[2] for r in batch]
    ((body, count),) = encode(keys, values, own, 1 << 20)
    (columns,) = decode(body, count, 0, 0)
    found = [[]] * count if columns.headers is None else list(columns.headers)
    assert found == own
    part = columns.part(1, 3).headers
    assert part is None or list(part) == own[1:3]


def test_headers_that_cannot_be_read_are_kept_as_bytes() -> None:
    for encoded in (b"", b"\x02", b"\x04\x02a\x02b", b"\x02\x02a\x02bc", b"\x02\xff"):
        assert decoded_headers(encoded) == [(MALFORMED, encoded)]


def test_the_bytes_are_those_of_the_client_s_own_writer() -> None:
    rows: list[Record] = [
        (b"k%d" % n, None if n == 3 else b"v" * n, [("h", b"1")] * (n % 2), 5) for n in range(300)
    ]
    builder = MemoryRecordsBuilder(2, NONE, 1 << 20)
    for key, value, own, stamp in rows:
        builder.append(stamp, key, value, own)
    ((body, count),) = encode(
        [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], 1 << 20
    )
    ours = _Encoded(body, count, 5, NONE)
    for one in (builder, ours):
        one.set_producer_state(9, 2, 0, True)
        one.close()
    assert bytes(ours.buffer() or b"") == bytes(builder.buffer())


def row(value: bytes) -> list[Record]:
    return [(b"k", value, [], 1_700_000_000_000)]


def test_aborted_transactions_are_left_out_and_the_position_passes_them() -> None:
    log = (
        Log()
        .add(row(b"plain"))
        .add(row(b"a1"), producer=1)
        .add(row(b"b1"), producer=2)
        .add(row(b"a2"), LZ4, 1)
    )
    log.end_transaction(1, commit=False, first=1).end_transaction(2, commit=True)
    log.add(row(b"a3"), producer=1).end_transaction(1, commit=True)
    log.add(row(b"a4"), producer=1).end_transaction(1, commit=False, first=8)
    assert [r[1] for r in same_both_ways(log)] == [b"plain", b"b1", b"a3"]
    assert [r[1] for r in same_both_ways(log, isolation=0)] == [
        b"plain",
        b"a1",
        b"b1",
        b"a2",
        b"a3",
        b"a4",
    ]
    assert read(_Fetched, log)[1] == log.end == 10


def test_time_of_the_log_gaps_of_compaction_and_a_batch_cut_short() -> None:
    log = (
        Log()
        .add(row(b"v") * 3, log_time=1_800_000_000_000)
        .add(row(b"w") * 10, GZIP, skip=3)
        .add(row(b"x"))
    )
    whole = log.data
    log.data += Log().add(row(b"half")).data[:-4]
    found = same_both_ways(log)
    assert [r[2] for r in found[:3]] == [1_800_000_000_000] * 3
    assert [r[3] for r in found[3:]] == [3, 6, 9, 12, 13]
    assert read(_Fetched, Log(whole, log.end)) == read(_Fetched, log)


def test_what_compaction_emptied_is_passed() -> None:
    log = Log().add(row(b"v"))
    emptied = bytearray(log.data[:61])
    struct.pack_into(">qi", emptied, 0, 1, 49)
    struct.pack_into(">i", emptied, 57, 0)
    struct.pack_into(">I", emptied, CRC_AT, calc_crc32c(memoryview(emptied)[CRC_FROM:]))
    log.data += bytes(emptied)
    log.end += 1
    assert len(same_both_ways(log.add(row(b"w")))) == 2


@pytest.mark.parametrize("kind", [_Fetched, _Public])
def test_a_batch_that_fails_its_checksum_is_fetched_once_more_before_it_is_given_up(
    kind: type,
) -> None:
    log = Log().add(row(b"fine")).add(row(b"damaged") * 3).add(row(b"after"))
    whole, at, screen = log.data, len(Log().add(row(b"fine")).data), Screen(LIMIT)
    log.data = whole[: at + 70] + bytes([whole[at + 70] ^ 1]) + whole[at + 71 :]

    def fetch(data: bytes, position: int) -> tuple[list[Any], int]:
        part, found = (
            kind(screen, position, WHERE, MemoryRecords(data), isolation_level=COMMITTED),
            list[Any](),
        )
        while part:
            found += batches({WHERE: list(part.take(10))})
        return found, part.next_fetch_offset

    (before,), position = fetch(log.data, 0)
    assert (before.values, position) == ([b"fine"], 1)
    (healed,), _ = fetch(whole, position)
    assert healed.values == [b"damaged"] * 3 + [b"after"]
    (given_up,), position = fetch(log.data, position)
    assert (given_up.offsets.tolist(), position) == ([1, 4], 5)
    assert given_up.values[1] == b"after"
    damage = given_up.damaged[1]
    assert (damage.first, damage.last, damage.error) == (1, 3, "undecodable")
    assert "offsets 1 to 3" in damage.reason and "checksum" in damage.reason


def test_records_of_an_older_format_are_refused_with_what_to_do() -> None:
    builder = MemoryRecordsBuilder(1, NONE, 1 << 20)
    builder.append(5, b"k", b"v" * 50)
    builder.close()
    with pytest.raises(vendor.UnsupportedVersionError, match=r"kafka\.bulk"):
        _Fetched(Screen(LIMIT), 0, WHERE, MemoryRecords(bytes(builder.buffer()))).take(1)


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x06\0\0", varint(200) + b"\0" * 5, b"\x0e\0\0\0\x01\x08vvvvv"]
)
def test_bytes_that_are_no_records_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedBatch):
        list(decode(data, 1, 0, 0))


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_of_any_size_pass(number: int) -> None:
    body = b"\0" + varint(number) + varint(0) + varint(-1) + varint(-1) + varint(0)
    (columns,) = decode(varint(len(body)) + body, 1, 0, 0)
    assert columns.timestamps.tolist() == [number]


def test_reading_in_bulk_takes_a_third_of_the_time_at_most() -> None:
    log = Log()
    for _ in range(10):
        log.add([(b"sensor-%05d" % n, b"v" * 80, [], 1_700_000_000_000) for n in range(1000)])
    spent = {}
    for kind in (_Fetched, _Public):
        part = kind(Screen(LIMIT), 0, WHERE, MemoryRecords(log.data), isolation_level=COMMITTED)
        started = time.process_time()
        while part:
            part.take(5000)
        spent[kind] = time.process_time() - started
    assert spent[_Fetched] < spent[_Public] / 3


def repacked(log: Log, attributes: int, body: bytes) -> Log:
    """The last batch of `log` with other attributes and another body, its checksum right."""
    at = 0
    while (end := at + 12 + struct.unpack_from(">i", log.data, at + 8)[0]) < len(log.data):
        at = end
    batch = bytearray(log.data[at : at + 61] + body)
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    struct.pack_into(">h", batch, 21, attributes)
    struct.pack_into(">I", batch, CRC_AT, calc_crc32c(memoryview(batch)[CRC_FROM:]))
    log.data = log.data[:at] + bytes(batch)
    return log


GOOD = {codec: Log().add(row(b"v" * 50) * 20, codec).data[61:] for codec in range(5)}
DAMAGED = {
    "an unknown codec": (5, GOOD[NONE], "undecodable"),
    "another unknown codec": (7, GOOD[ZSTD], "undecodable"),
    **{
        f"codec {codec}, other bytes": (codec, b"no such bytes", "undecodable")
        for codec in range(5)
    },
    **{f"codec {codec}, nothing": (codec, b"", "undecodable") for codec in range(5)},
    **{f"codec {codec}, cut short": (codec, GOOD[codec][:-7], "undecodable") for codec in range(5)},
    **{
        f"codec {codec}, too long": (codec, GOOD[codec] + b"more", "undecodable")
        for codec in range(5)
    },
    "gzip in place of lz4": (LZ4, GOOD[GZIP], "undecodable"),
    "snappy that claims gigabytes": (SNAPPY, b"\xff\xff\xff\xff\x0f" + b"x" * 30, "too_large"),
    "blocks of snappy of no size": (
        SNAPPY,
        b"\x82SNAPPY\0" + b"\0\0\0\1" * 2 + b"\xff" * 8,
        "undecodable",
    ),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_what_cannot_be_read_is_one_entry_and_its_partition_goes_on(how: str) -> None:
    codec, body, error = DAMAGED[how]
    log = repacked(Log().add(row(b"fine") * 3).add(row(b"x") * 20), codec, body).add(
        row(b"after") * 2
    )
    for most in (1, 2, 100):
        found, position = read(_Fetched, log, most=most)
        public, public_position = read(_Public, log, most=most)
        assert [r[3] for r in found] == [0, 1, 2, 3, 23, 24] and position == public_position == 25
        (damage,) = found[3][4:]
        assert (damage.first, damage.last, damage.error) == (
            3,
            22,
            error,
        ) and "offsets 3 to 22" in damage.reason
        # the client reads record by record, as far as it gets
        told = [r for r in public if len(r) > 4]
        assert [(r[4].error, r[4].last, r[1]) for r in told] == [(error, 22, found[3][1])] * len(
            told
        )
        assert [r[3] for r in public] == [*range(told[0][3] + 1 if told else 23), 23, 24]
    # a fetch from within it, or behind
    for start, expected in ((4, [3, 23, 24]), (22, [3, 23, 24]), (23, [23, 24])):
        assert [r[3] for r in read(_Fetched, log, start)[0]] == expected
        assert [r[3] for r in read(_Public, log, start)[0]][-2:] == expected[-2:]


BOMBS: dict[str, list[Record]] = {
    "one large record": row(b"z" * 3_000_000),
    "many small ones": row(b"") * 400_000,
    "headers": [(b"k", b"v", [("h", b"z" * 3_000_000)], 5)],
}


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_batch_that_unpacks_to_more_than_the_limit_is_not_read(bomb: str, codec: int) -> None:
    log = Log().add(row(b"fine")).add(BOMBS[bomb], codec).add(row(b"after"))
    for kind in (_Fetched, _Public):
        found, position = read(kind, log, limit=2_000_000)
        assert [r[3] for r in found] == [0, 1, log.end - 1] and position == log.end
        damage = found[1][4]
        assert (damage.error, damage.first, damage.last) == ("too_large", 1, log.end - 2)
        assert "2000000 bytes" in damage.reason and damage.codec in damage.reason


def test_a_batch_of_very_many_records_is_decoded_in_parts() -> None:
    """Columns of records of no bytes take a hundred times the memory of the batch."""
    log = Log().add([(None, None, [], 5)] * (2 * PART + 5), ZSTD)
    part, sizes = _Fetched(Screen(LIMIT), 0, WHERE, MemoryRecords(log.data)), list[int]()
    while part:
        sizes += [len(columns) for columns in part.take(5 * PART)]
    assert sizes == [PART, PART, 5]
    assert [len(r) for r in (read(_Fetched, log, begin=PART + 7, most=100)[0],)] == [PART - 2]


@pytest.mark.parametrize("kind", [_Fetched, _Public])
def test_large_records_count_for_several(kind: type) -> None:
    """A poll is bounded in bytes as well."""
    log = Log()
    for _ in range(20):
        log.add(row(b"z" * 1_000_000), ZSTD)
    part, taken = kind(Screen(LIMIT), 0, WHERE, MemoryRecords(log.data)), list[int]()
    while part:
        things = part.take(500)
        taken.append(sum(len(batch) for batch in batches({WHERE: list(things)})))
        assert len(things) <= 500
    assert sum(taken) == 20 and max(taken) <= 5


def test_parts_of_one_poll_become_one_batch() -> None:
    part = Columns([b"k"], [b"v"], np.array([5]), np.array([7]))
    (batch,) = batches({WHERE: [part, part], TopicPartition("t", 4): []})
    assert (batch.topic, batch.partition, batch.keys, batch.offsets.tolist()) == (
        "t",
        3,
        [b"k", b"k"],
        [7, 7],
    )


@pytest.fixture
def bench(kafka: KafkaServer) -> Iterator[Bench]:
    bench = Bench(KafkaHarness(kafka))
    yield bench
    bench.close()


@pytest.mark.kafka
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", None])
def test_what_others_wrote_reads_the_same_both_ways(
    kafka: KafkaServer, bench: Bench, codec: str | None
) -> None:
    topic = bench.topic()
    client = Client(
        bootstrap_servers=kafka.bootstrap_servers,
        compression_type=codec,
        transactional_id=topic,
        linger_ms=5,
    )
    client.init_transactions()
    for number in range(3):
        client.begin_transaction()
        for value in numbers(400, 1000 * number):
            client.send(topic, value if number else None, b"key", [("h", b"x")])
        client.flush()
        (client.abort_transaction if number == 1 else client.commit_transaction)()
    client.close()
    found = []
    for bulk in (True, False):
        reader = KafkaBroker(
            KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, bulk=bulk, **QUICK)
        ).reader(topic)
        begin(reader, 0)
        found.append(
            [entry for batch in read_to(reader, reader.end([0])) for entry in plain(batch)]
        )
        reader.close()
    assert found[0] == found[1]
    assert [entry[1] for entry in found[0]] == [None] * 400 + numbers(400, 2000)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("bulk", "codec"),
    [(bulk, codec) for codec in (None, *get_args(Codec)) for bulk in (True, False)],
)
def test_what_we_write_reads_the_same_both_ways(
    kafka: KafkaServer, bench: Bench, bulk: bool, codec: Codec | None
) -> None:
    """In transactions, with tombstones and headers, compressed or not,
    in a topic so narrow that the client has to split batches."""
    topic, aborted = bench.topic(config={"max.message.bytes": "2000"}), numbers(100)
    producer = KafkaBroker(
        KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, bulk=bulk, **QUICK), codec
    ).producer(f"id-{topic}")
    rows = [None if n % 7 == 0 else b"%d" % n * 20 for n in range(300)]
    heads = [[("n", b"%d" % n)] * (n % 3) for n in range(300)]
    for column, own in ((aborted, None), (rows, heads)):
        producer.begin()
        producer.produce(topic, 0, [b"key"] * len(column), column, own)
        producer.flush(PATIENCE_S)
        if column is aborted:
            producer.abort()
    producer.commit()
    producer.close(1.0)
    seen = bench.harness.read(topic)
    assert [record.value for record in seen] == rows
    assert [record.headers for record in seen] == [tuple(own) for own in heads]
