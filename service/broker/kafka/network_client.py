"""kafka-python's network client, extended to keep the reason of a failed connection.

The client (kafka-python 3.0) logs each failure and then raises that it is "unable to bootstrap".
Here the last failure of each address is kept and raised instead. An address that refused the client
is not tried again by the same client: a wrong password sent many times a second locks accounts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from eddycast.service.broker.kafka.errors import translate
from eddycast.service.broker.kafka.probe import offered, speaks
from eddycast.service.broker.kafka.refusals import choice_of, interrupted, reason, refusal
from eddycast.service.errors import AccessRefused, BrokerUnavailable, EddycastError


class NetworkClient(KafkaNetClient):  # type: ignore[misc]
    """The network client of every consumer, producer and admin (their `kafka_client` option)."""

    def __init__(self, net: Any = None, manager: Any = None, **configs: Any) -> None:
        net = NetworkSelector(**configs) if net is None else net
        super().__init__(net, manager or ConnectionManager(net, **configs), **configs)


class ConnectionManager(KafkaConnectionManager):  # type: ignore[misc]
    """Connections to nodes. Written by the client's network thread, read by other threads."""

    def __init__(self, net: Any, **configs: Any) -> None:
        self._failures: dict[str, Exception] = {}  # by HOST:PORT: error of the newest connection
        self._unanswered: Exception | None = None  # error of the newest metadata request
        super().__init__(net, **configs)
        original = self.cluster.failed_update

        def failed_update(error: Exception) -> None:
            self._unanswered = error
            original(error)

        self.cluster.failed_update = failed_update

    def refused(self) -> AccessRefused | None:
        """Error of a node that refused its newest connection; None if no node did."""
        found = (refusal(error, where) for where, error in self._failures.copy().items())
        return next((error for error in found if error is not None), None)

    def reasons(self) -> str:
        """Addresses that do not answer, each with its reason; empty if all answer."""
        return ", ".join(
            f"{where}: {reason(error)}" for where, error in self._failures.copy().items()
        )

    def bootstrap(self, timeout_ms: float | None = None, refresh: bool = True) -> None:
        """Connect to the cluster. Raises AccessRefused, BrokerUnavailable,
        and closes the client then."""
        try:
            super().bootstrap(timeout_ms, refresh)
        except KafkaError as error:
            self.close()
            self._net.close()
            raise self._explained(error) from error
        self._failures.clear()  # one address that accepts the client is enough

    def get_connection(self, node_id: Any, *args: Any, **kwargs: Any) -> Any:
        """The client's method, extended to follow a new connection."""
        if node_id in self._conns or (node := self.cluster.broker_metadata(node_id)) is None:
            return super().get_connection(node_id, *args, **kwargs)
        where = f"{node.host}:{node.port}"
        if not self.bootstrapped:
            self._spare(node_id, where)
        connection = super().get_connection(node_id, *args, **kwargs)
        self._follow(connection, where)
        return connection

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        transport = await super()._build_transport(node, timeout_at=timeout_at)
        transport._sock_recv = _with_last_data(transport._sock_recv)
        return transport

    def _follow(self, connection: Any, where: str) -> None:
        """Keep the error that ends a connection. A broker that refuses a login also disconnects,
        which the client may notice first: the error that the client then closes the connection with
        is the reason."""
        closing = connection.close

        def close(error: Exception | None = None) -> None:
            if error is not None and refusal(error, where) is not None:
                self._failures[where] = error
            closing(error)

        connection.close = close
        connection.init_future.add_callback(lambda _: self._failures.pop(where, None))
        connection.close_future.add_errback(lambda error: self._note(where, error))

    def _note(self, where: str, error: Exception) -> None:
        """Keep the error of a failed connection. A time-out gives no reason, and the last attempt
        of a bootstrap is cut short: an earlier reason stands."""
        if _timed_out(error):
            self._failures.setdefault(where, error)
        else:
            self._failures[where] = error

    def _spare(self, node_id: Any, where: str) -> None:
        """Do not connect again to an address that refused the client.
        Raises KafkaError once all have refused."""
        if not self._refuses(where):
            return
        if all(
            self._refuses(f"{node.host}:{node.port}") for node in self.cluster.bootstrap_brokers()
        ):
            raise KafkaError("every broker refuses")
        self.update_backoff(node_id)
        raise NodeNotReadyError(node_id)

    def _refuses(self, where: str) -> bool:
        return where in self._failures and refusal(self._failures[where], where) is not None

    def _explained(self, error: KafkaError) -> EddycastError:
        """One error for a failed bootstrap: a refusal if there is one,
        else the reasons of all addresses."""
        servers = f"cannot reach Kafka at {', '.join(self.cluster.config['bootstrap_servers'])}"
        for where, failure in self._failures.copy().items():
            refused = refusal(failure, where)
            if refused is None and interrupted(failure):
                refused = speaks(where, self.config)
            if refused is not None:
                action = refused.action or choice_of(offered(where, self.config))
                return type(refused)(f"{servers}: {refused.what}", action)
        if self._unanswered is not None and all(map(_timed_out, self._failures.values())):
            return translate(self._unanswered, servers)
        if not self._failures:
            return translate(error, servers)
        return BrokerUnavailable(f"{servers}: {self.reasons()}")


def _timed_out(error: Exception) -> bool:
    return isinstance(error, KafkaTimeoutError | RequestTimedOutError) or (
        isinstance(error, KafkaConnectionError) and "timed out" in str(error)
    )


def _with_last_data(receive: Callable[[], tuple[bytes, Exception | None]]) -> Callable[..., Any]:
    """Return the data that arrives together with the end of a connection, which the client
    discards: it holds the broker's reason for disconnecting. The next call finds the end again."""

    def received() -> tuple[bytes, Exception | None]:
        data, error = receive()
        return (data, None) if data else (data, error)

    return received
