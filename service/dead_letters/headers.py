"""Dead letters as records: key, value and headers of the rejected record, and the reason.

The reason is in headers that are added after the record's own:

    __eddycast.errors.error        a short stable word, as not_json
    __eddycast.errors.reason       a sentence for people
    __eddycast.errors.topic        origin of the record, with .partition and .offset
    __eddycast.errors.timestamp    broker time of the record, ms, if it has one
    __eddycast.errors.readings     number of rejected readings, if the record may have several
    __eddycast.errors.reading      places of the first of them, as /readings/2
    __eddycast.errors.last_offset  end of a record batch that cannot be read, with .codec
    __eddycast.errors.truncated    "true" if anything was cut, with .size, .key_size and
                                   .headers_size: bytes before that

Topic, partition, offset, error and reason are repeated under the names of Kafka Connect
(`__connect.errors.*`), which other tools read, and the error as `error`, its former name, unless
the record has a header of that name. The letter's own Kafka timestamp is that of its
writing: a topic may refuse or delete records of an old time.
"""

from __future__ import annotations

from eddycast.service.records import DeadLetter, Headers, headers_bytes

#: Prefixes of the names of headers.
OWN, CONNECT = "__eddycast.errors.", "__connect.errors."
#: Name of a header for readers that were written for it.
FORMER = "error"
#: Maximum bytes of a key or value in a dead letter, and of the record's own headers.
LETTER_BYTES = 65_536
#: Maximum bytes of the headers that are added.
LETTER_HEADERS_BYTES = 4_096
#: Maximum bytes of a reason, and number of places that are listed.
_REASON_BYTES, _PLACES, _PLACE_CHARACTERS = 1_000, 5, 60


def dead_letter(
    letter: DeadLetter, limit_bytes: int = LETTER_BYTES
) -> tuple[bytes | None, bytes | None, Headers]:
    """Return key, value and headers of a dead letter's record.

    Key, value and the record's own headers are cut to `limit_bytes` each, with headers that give
    their sizes; a header is kept whole or not at all.
    """
    own = [header for header in letter.headers if not header[0].startswith(OWN)]
    kept = _fitting(own, limit_bytes)
    sizes = [
        (name, len(part))
        for name, part in (("size", letter.value), ("key_size", letter.key))
        if part and len(part) > limit_bytes
    ]
    if len(kept) < len(own):
        sizes.append(("headers_size", headers_bytes(own)))
    added = _facts(letter)
    if sizes:
        added += [("truncated", b"true"), *((name, b"%d" % size) for name, size in sizes)]
    headers = kept + [(OWN + name, value) for name, value in added] + _for_connect(letter)
    if not any(name == FORMER for name, _ in own):
        headers.append((FORMER, letter.error.encode()))
    return _cut(letter.key, limit_bytes), _cut(letter.value, limit_bytes), headers


def _facts(letter: DeadLetter) -> Headers:
    """Names without prefix, and values."""
    facts: Headers = [
        ("error", letter.error.encode()),
        ("reason", _reason(letter)),
        ("topic", letter.topic.encode()),
        ("partition", b"%d" % letter.partition),
        ("offset", b"%d" % letter.offset),
    ]
    if letter.time >= 0:
        facts.append(("timestamp", b"%d" % letter.time))
    if letter.places:
        first = [place[:_PLACE_CHARACTERS] for place in letter.places[:_PLACES]]
        rest = ", …" if len(letter.places) > _PLACES else ""
        facts += [
            ("readings", b"%d" % len(letter.places)),
            ("reading", (", ".join(first) + rest).encode(errors="replace")),
        ]
    if (damage := letter.damage) is not None:
        facts += [("last_offset", b"%d" % damage.last), ("codec", damage.codec.encode())]
    return facts


def _for_connect(letter: DeadLetter) -> Headers:
    """Headers under the names that Kafka Connect gives them."""
    return [
        (CONNECT + "topic", letter.topic.encode()),
        (CONNECT + "partition", b"%d" % letter.partition),
        (CONNECT + "offset", b"%d" % letter.offset),
        (CONNECT + "exception.class.name", b"eddycast." + letter.error.encode()),
        (CONNECT + "exception.message", _reason(letter)),
    ]


def _reason(letter: DeadLetter) -> bytes:
    reason = letter.reason.encode(errors="replace")
    if len(reason) <= _REASON_BYTES:
        return reason
    return reason[: _REASON_BYTES - 3].decode(errors="ignore").encode() + "…".encode()


def _fitting(headers: Headers, limit_bytes: int) -> Headers:
    """The first headers that have at most `limit_bytes` together."""
    room, kept = limit_bytes, Headers()
    for header in headers:
        room -= headers_bytes([header])
        if room < 0:
            break
        kept.append(header)
    return kept


def _cut(part: bytes | None, limit_bytes: int) -> bytes | None:
    return part and part[:limit_bytes]
