"""`eddycast doctor`: what is wrong, and what to do about it, before or after it bites."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from service.broker.port import Admin
from service.commands.settings_help import SettingsHelp
from service.errors import EddycastError
from service.setting_groups import TopicSettings
from service.settings import Settings, load_settings


class Finding(NamedTuple):
    """One thing looked at: `action` is empty where it is well."""

    what: str
    found: str
    action: str = ""
    well: bool = True


def doctor(context: typer.Context, help: SettingsHelp = False) -> None:  # noqa: A002, ARG001 - the name of the flag
    """Check settings, bundle, port, broker and topics, and say what is wrong. Takes the flags of `eddycast serve`."""
    findings = list(examine(context.args))
    table = Table("", "what", "found", "what to do", box=None, header_style="bold")
    for finding in findings:
        mark = "[green]ok[/]" if finding.well else "[red]wrong[/]"
        table.add_row(mark, finding.what, finding.found, finding.action)
    Console(highlight=False).print(table)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def examine(flags: list[str]) -> Iterator[Finding]:
    """Look at everything that `eddycast serve` with these flags would need; changes nothing."""
    try:
        settings = load_settings(flags)
    except EddycastError as error:
        yield _wrong("settings", error)
        return
    yield Finding("settings", "no contradiction")
    yield _bundle(settings)
    yield _port(settings)
    yield from _broker(settings)


def _wrong(what: str, error: EddycastError) -> Finding:
    return Finding(what, error.what, error.action, well=False)


def _bundle(settings: Settings) -> Finding:
    from service.model.runtime import Runtime

    try:
        manifest = Runtime.load(settings.bundle.directory).manifest
    except EddycastError as error:
        return _wrong("bundle", error)
    return Finding("bundle", f"{manifest.label} in {settings.bundle.directory}, {manifest.row_bytes} bytes a stream")


def _port(settings: Settings) -> Finding:
    host, port = settings.http.host, settings.http.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            action = "choose another http.port, unless it is the service itself that runs"
            return Finding("port", f"{host}:{port}: {error.strerror}", action, well=False)
    return Finding("port", f"{host}:{port} is free")


def _broker(settings: Settings) -> Iterator[Finding]:
    from service.connect import kafka_broker

    servers = settings.kafka.bootstrap_servers
    try:
        admin = kafka_broker(settings.kafka).admin()
    except EddycastError as error:
        action = error.action or "start it, or set kafka.bootstrap_servers"
        yield Finding("broker", error.what, action, well=False)
        return
    try:
        yield Finding("broker", f"{servers} answers")
        yield from _topics(admin, settings.topics)
    except EddycastError as error:
        yield _wrong("topics", error)
    finally:
        admin.close()


def _topics(admin: Admin, topics: TopicSettings) -> Iterator[Finding]:
    names = (topics.input, topics.output, topics.dead_letters)
    counts = {name: admin.partitions(name) for name in names}
    wanted = counts[topics.input]
    for name, count in counts.items():
        if count is None:
            missing = "does not exist yet, is created at start" if topics.create else "does not exist"
            yield Finding(f"topic {name}", missing, "" if topics.create else "create it", well=topics.create)
        elif name == topics.output and wanted is not None and count != wanted:
            found = f"{count} partitions, {topics.input} has {wanted}"
            yield Finding(f"topic {name}", found, f"give it {wanted}", well=False)
        else:
            yield Finding(f"topic {name}", f"{count} partition{'s' if count > 1 else ''}")
