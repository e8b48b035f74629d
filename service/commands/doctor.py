"""`eddycast doctor`: diagnoses settings, bundle, broker and topics."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eddycast.service.broker.port import Admin, Broker
from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.delivery.topic_checks import look_at_topics
from eddycast.service.diagnosis.finding import Finding
from eddycast.service.errors import AccessRefused, EddycastError, StateError
from eddycast.service.humanize import many, one_line, table_width
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.bundle import Manifest
    from eddycast.service.processing.decoding import RecordDecoder


def doctor(context: typer.Context, help: SettingsHelp = False) -> None:  # noqa: A002, ARG001 - the name of the flag
    """Check settings, bundle, port, broker, topics and the latest records, and print the problems.
    Takes the flags of `eddycast serve`.

    Example: eddycast doctor --bundle.directory /srv/bundle --kafka.bootstrap_servers HOST:9092
    """
    findings = list(examine(context.args))
    table = Table("", "what", "found", "what to do", box=None, header_style="bold")
    for finding in findings:
        mark = (
            "[red]wrong[/]"
            if not finding.well
            else "[yellow]risk[/]"
            if finding.action
            else "[green]ok[/]"
        )
        table.add_row(
            mark, *(Text(one_line(text)) for text in (finding.what, finding.found, finding.action))
        )
    Console(width=table_width(), highlight=False).print(table)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def examine(flags: list[str]) -> Iterator[Finding]:
    """Check everything that `eddycast serve` needs with these flags; changes nothing."""
    try:
        settings = load_settings(flags)
    except EddycastError as error:
        yield Finding.wrong("settings", error)
        return
    yield Finding("settings", "valid")
    yield from (Finding("security", risk.what, risk.action) for risk in settings.kafka.risks())
    bundle, manifest, generation = _model(settings)
    yield bundle
    decoder = None
    if manifest is not None:
        from eddycast.service.diagnosis.examine import look_at_mapping

        mapping, decoder = look_at_mapping(settings, len(manifest.read_channels))
        yield mapping
        yield from _gathered(manifest, settings)
    yield _port(settings)
    if "avro" in (settings.input.format, settings.output.format):
        yield _schemas(settings)
    yield from _broker(settings, manifest, generation, decoder)


def _model(settings: Settings) -> tuple[Finding, Manifest | None, int]:
    """The check of the bundle or of the registry's champion; its manifest if it is valid, and the
    number of the registry's change."""
    from eddycast.service.model.loading import load_runtime
    from eddycast.service.processing.grid_check import check_time
    from eddycast.service.state.changelog import row_bytes

    generation = 0
    try:
        if settings.registry.url is None:
            what, where = "bundle", str(settings.bundle.directory)
            manifest = load_runtime(settings.bundle.directory, trust=settings.bundle.trust).manifest
        else:
            from eddycast.service.registry.registry import open_champion

            what = "registry"
            registry, change = open_champion(settings)
            where, generation = f"change {change.number} of {registry.model}", change.number
            manifest = registry.load(change.champion).manifest
        check_time(manifest, settings.time)
    except EddycastError as error:
        return Finding.wrong(what, error), None, 0
    size = row_bytes(manifest, settings.time)
    return (
        Finding(what, f"{manifest.label} in {where}, {size} bytes a stream"),
        manifest,
        generation,
    )


def _gathered(manifest: Manifest, settings: Settings) -> Iterator[Finding]:
    """A risk if the model was trained on readings that were gathered in another way."""
    from eddycast.service.processing.grid_check import trained_otherwise

    if (found := trained_otherwise(manifest, settings.time)) is not None:
        yield Finding("time.aggregate", *found)


def _schemas(settings: Settings) -> Finding:
    """The check that the schema registry answers; nothing is registered."""
    from eddycast.service.delivery.schema_registry import SchemaRegistry

    try:
        registry = SchemaRegistry(settings.schema_registry, settings.topics.output)
        found = many(registry.versions(), "schema")
    except EddycastError as error:
        return Finding.wrong("schema registry", error)
    if settings.output.format != "avro":
        return Finding("schema registry", "answers")
    return Finding("schema registry", f"answers, and holds {found} of the forecasts")


def _port(settings: Settings) -> Finding:
    host, port = settings.http.host, settings.http.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            action = "choose another http.port, unless the service is already running"
            return Finding("port", f"{host}:{port}: {error.strerror}", action, well=False)
    return Finding("port", f"{host}:{port} is free")


def _broker(
    settings: Settings, manifest: Manifest | None, generation: int, decoder: RecordDecoder | None
) -> Iterator[Finding]:
    from eddycast.service.delivery.connect import kafka_broker
    from eddycast.service.diagnosis.examine import look_at_records
    from eddycast.service.state.changelog import row_bytes

    servers = settings.kafka.bootstrap_servers
    try:
        broker = kafka_broker(settings.kafka)
        admin = broker.admin()
    except EddycastError as error:
        action = error.action or "start it, or set kafka.bootstrap_servers"
        yield Finding("broker", error.what, action, well=False)
        return
    with admin:
        yield Finding("broker", f"{servers} answers")
        try:
            yield from look_at_state(
                broker,
                admin,
                settings,
                None if manifest is None else row_bytes(manifest, settings.time),
            )
            if manifest is not None and (partitions := admin.partitions(settings.changelog)):
                yield from look_at_rows(broker, settings, manifest, partitions, generation)
        except EddycastError as error:
            yield Finding.wrong("topics", error)
            return
        if manifest is None or decoder is None:
            return
        try:
            if partitions := admin.partitions(settings.topics.input):
                yield from look_at_records(broker, settings, manifest, decoder, partitions)
        except EddycastError as error:
            yield Finding.wrong("records", error)


def look_at_state(
    broker: Broker, admin: Admin, settings: Settings, row: int | None
) -> Iterator[Finding]:
    """Check the topics, the transactional id, and the group's offsets against the changelog.
    Raises BrokerError."""
    for seen in look_at_topics(admin, settings, row):
        yield Finding(f"topic {seen.topic}", seen.found, seen.action, seen.error is None)
    group = settings.kafka.group
    for what, look in (
        ("transactions", _transactions),
        (f"group {group}", partial(_group, broker)),
    ):
        try:
            yield look(admin, settings)
        except AccessRefused as error:
            yield Finding.wrong(what, error)


def _transactions(admin: Admin, settings: Settings) -> Finding:
    prefix, kafka = settings.commit.transactional_prefix, settings.kafka
    admin.check_transactional_id(f"{prefix}-{kafka.group}-{kafka.instance_id or 'doctor'}")
    return Finding("transactions", "the service may use its transactional ids")


def _group(broker: Broker, admin: Admin, settings: Settings) -> Finding:
    group, changelog = settings.kafka.group, settings.changelog
    committed = admin.group_offsets(group, settings.topics.input)
    rowless = _without_rows(broker, changelog, admin.partitions(changelog), committed)
    if rowless:
        found = (
            f"has committed offsets for partitions {rowless}, "
            f"but {changelog} has no rows: the service would stop"
        )
        action = (
            "set topics.changelog to the changelog of this group, or start anew with another group"
        )
        return Finding(f"group {group}", found, action, well=False)
    if committed:
        return Finding(
            f"group {group}",
            "has committed offsets for partitions "
            f"{sorted(committed)}, and {changelog} has their rows",
        )
    return Finding(
        f"group {group}",
        f"has no committed offsets, and will start at the {settings.kafka.start_at}",
    )


def look_at_rows(
    broker: Broker, settings: Settings, manifest: Manifest, partitions: int, generation: int = 0
) -> Iterator[Finding]:
    """Check that the bundle can adopt the stored rows, once for each model that wrote some.
    `generation` is the number of the registry's change, or 0. Reads the whole changelog. Raises
    BrokerError."""
    from eddycast.service.migration.snapshot import snapshots
    from eddycast.service.state.adoption import Adoption
    from eddycast.service.state.changelog import RowCodec
    from eddycast.service.state.model_record import initial_record
    from eddycast.service.state.own_tensors import row_specs

    codec, name = RowCodec(row_specs(manifest, settings.time)), settings.changelog
    adoption = Adoption(initial_record(manifest, codec.layout, generation), bool(manifest.parts))
    said: set[str] = set()
    patience_s = settings.waits.transactions_s
    with broker.reader(name) as reader:
        for snapshot in snapshots(reader, name, range(partitions), patience_s, rows=False):
            try:
                about = codec.decode(snapshot.records)
                adopted = adoption.adopt(
                    f"partition {snapshot.partition}", about.recorded, about.marker
                )
            except StateError as error:
                yield Finding.wrong("rows", error)
                return
            if about.marker is not None and (found := adopted.summary) not in said:
                said.add(found)
                yield Finding("rows", found)


def _without_rows(
    broker: Broker, topic: str, partitions: int | None, committed: Collection[int]
) -> list[int]:
    """Partitions with committed offsets for which the changelog has no record."""
    there = [partition for partition in committed if partition < (partitions or 0)]
    rowless = set(committed).difference(there)
    if there:
        with broker.reader(topic) as reader:
            first, end = reader.first(there), reader.end(there)
        rowless |= {partition for partition in there if first[partition] == end[partition]}
    return sorted(rowless)
