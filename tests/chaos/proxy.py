"""A bad network between workers and brokers: each node has a listener for them,
behind a proxy that stalls and cuts.

Each node advertises its proxy's address on that listener,
so whoever comes through one stays behind them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.kafka import KafkaServer
from deploy.kafka.server import HURRIED, free_ports

_CHUNK = 65_536
#: Not the ports of brokers, which are chosen before these are taken.
_PORTS = range(10_000, 12_000)
_HURRIED = {
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "log.cleaner.backoff.ms": "1000",
}
#: Workers come in by a listener of their own, which is advertised at the address of the node's
#: proxy. Fields in two pairs of braces are the server's to fill in.
_LISTENERS = {
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,STALLED:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
}
_ADDRESSES = {
    "listeners": "PLAINTEXT://127.0.0.1:{{port}},STALLED://127.0.0.1:{hidden},"
    "CONTROLLER://127.0.0.1:{{controller_port}}",
    "advertised.listeners": "PLAINTEXT://127.0.0.1:{{port}},STALLED://127.0.0.1:{shown}",
}
#: Settings with which acknowledged records survive the loss of a node.
_SAFE = {"min.insync.replicas": "2", "transaction.state.log.min.isr": "2"}


class Proxy:
    """Passes bytes both ways from a port of its own to another; both on the loopback interface."""

    def __init__(self, port: int, to: int) -> None:
        self._port, self._to = port, to
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT, as clients want it."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._run(asyncio.start_server(self._accept, "127.0.0.1", self._port))

    def stop(self) -> None:
        """Cut every connection and stop listening."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Stop all traffic within the block; connections stay open, and new ones are accepted."""
        self._loop.call_soon_threadsafe(self._open.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._open.set)

    def cut(self) -> None:
        """Abort all connections."""
        self._run(self._cut())

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers.add(back)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
            self._writers.discard(back)
        self._writers.discard(writer)
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy bytes until either side closes, then close the other."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()

    def _run(self, what: object) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Site:
    """A running Kafka, and the way of the workers to each of its nodes."""

    kafka: KafkaServer
    proxies: Sequence[Proxy]

    @property
    def servers(self) -> str:
        """The way in for everyone else."""
        return self.kafka.bootstrap_servers

    @property
    def for_workers(self) -> str:
        """The way in for workers."""
        return ",".join(proxy.address for proxy in self.proxies)


@contextlib.contextmanager
def site(nodes: int = 1) -> Iterator[Site]:
    """A Kafka that may be killed, and that notices within the time-outs of the workers."""
    ports = free_ports(2 * nodes, _PORTS)
    ways = list(zip(ports[:nodes], ports[nodes:], strict=True))
    proxies = [Proxy(shown, hidden) for shown, hidden in ways]
    config = _HURRIED | _LISTENERS | (_SAFE if nodes > 1 else {})
    each = [
        {name: line.format(shown=shown, hidden=hidden) for name, line in _ADDRESSES.items()}
        for shown, hidden in ways
    ]
    with contextlib.ExitStack() as stack:
        kafka = stack.enter_context(KafkaServer(nodes, config=config, each=each, jvm=HURRIED))
        for proxy in proxies:
            proxy.start()
            stack.callback(proxy.stop)
        yield Site(kafka, proxies)
