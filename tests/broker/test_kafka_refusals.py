"""A broker that cannot be used: one line with the reason, and the right answer to whether waiting
cures it, for each way into a real broker."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from deploy.kafka.pki import KEY_PASSWORD
from deploy.kafka.secure import MECHANISMS, USERS, SecureKafka, unsigned_token
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.delivery.connect import kafka_broker
from eddycast.service.errors import AuthenticationFailed, BrokerError, BrokerUnavailable, TlsFailed
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.load import load_settings
from tests.broker.tools import Listener, poll_until
from tests.support.secure import User
from tests.support.tokens import SECRET, Endpoint

pytestmark = pytest.mark.kafka

PASSWORD = {"sasl_username": "service", "sasl_password": USERS["service"]}
#: Listener, protocol, what else is set, and what is said.
REFUSED: dict[str, tuple[str, str, dict[str, Any], type[BrokerError], str]] = {
    "expired": ("EXPIRED", "SSL", {}, TlsFailed, "certificate has expired"),
    "another host": ("WRONG_HOST", "SSL", {}, TlsFailed, "not valid for '127.0.0.1'"),
    "another authority": (
        "TLS",
        "SSL",
        {"ssl_cafile": "other_ca"},
        TlsFailed,
        "self-signed certificate",
    ),
    "the system's authorities": (
        "TLS",
        "SSL",
        {"ssl_cafile": None},
        TlsFailed,
        "self-signed certificate",
    ),
    "no client certificate": ("MTLS", "SSL", {}, TlsFailed, "client's certificate"),
    "a stranger's certificate": (
        "MTLS",
        "SSL",
        {"ssl_certfile": "stranger", "ssl_keyfile": "stranger_key"},
        TlsFailed,
        "client's certificate",
    ),
    "TLS to a plaintext port": ("PLAINTEXT", "SSL", {}, TlsFailed, "does not speak TLS"),
    "plaintext to a TLS port": ("TLS", "PLAINTEXT", {}, TlsFailed, "speaks TLS only"),
    "TLS and a login to a port without TLS": (
        "CLEAR",
        "SASL_SSL",
        PASSWORD,
        TlsFailed,
        "does not speak TLS",
    ),
    "a login in the clear to a TLS port": (
        "SASL",
        "SASL_PLAINTEXT",
        PASSWORD,
        TlsFailed,
        "speaks TLS only",
    ),
    "no login": ("SASL", "SSL", {}, AuthenticationFailed, "requires a login"),
    "no login in the clear": ("CLEAR", "PLAINTEXT", {}, AuthenticationFailed, "requires a login"),
    "a login where there is none": (
        "TLS",
        "SASL_SSL",
        PASSWORD,
        AuthenticationFailed,
        "does not support a login",
    ),
    "a login where there is none, in the clear": (
        "PLAINTEXT",
        "SASL_PLAINTEXT",
        PASSWORD,
        AuthenticationFailed,
        "does not support a login",
    ),
}


def options(kafka: SecureKafka, protocol: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Settings as kafka-python's client takes them; names of the certificates become files."""
    words = {"ssl_cafile": "ca"} if protocol.endswith("SSL") else {}
    files = {
        name: getattr(kafka.pki, str(value), value) for name, value in (words | changes).items()
    }
    return {"security_protocol": protocol} | {
        name: value for name, value in files.items() if value is not None
    }


def broker(kafka: SecureKafka, listener: str, protocol: str, **changes: Any) -> Any:
    flags = [f"--kafka.{name}={value}" for name, value in options(kafka, protocol, changes).items()]
    times = ["--kafka.request_timeout_ms=2000", "--kafka.delivery_timeout_ms=3000"]
    return kafka_broker(
        load_settings(
            [*flags, *times, f"--kafka.bootstrap_servers={kafka.address(listener)}"], {}
        ).kafka
    )


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """A client that could not be made is closed."""
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and thread.name.startswith("kafka")
    ]
    assert not left


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_says_why_and_what_to_do(secure_kafka: SecureKafka, case: str) -> None:
    listener, protocol, changes, kind, said = REFUSED[case]
    with pytest.raises(kind) as caught:
        broker(secure_kafka, listener, protocol, **changes).admin()
    error = caught.value
    assert said in error.what and secure_kafka.address(listener) in error.what
    assert error.action.count("kafka.") or case == "expired"
    assert not error.retriable and error.exit_code == 5 and "\n" not in str(error)


@pytest.mark.parametrize("mechanism", MECHANISMS[:3])
@pytest.mark.parametrize("user", ["service", "unheard-of"])
@pytest.mark.parametrize("listener", ["SASL", "CLEAR"])
def test_a_wrong_login_is_refused_and_not_repeated(
    secure_kafka: SecureKafka, mechanism: str, user: str, listener: str
) -> None:
    login = {"sasl_mechanism": mechanism, "sasl_username": user, "sasl_password": "wr0ng"}
    protocol = "SASL_SSL" if listener == "SASL" else "SASL_PLAINTEXT"
    with pytest.raises(AuthenticationFailed, match="refuses the login") as caught:
        broker(secure_kafka, listener, protocol, **login).admin()
    assert "wr0ng" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize("what", ["consumer", "reader", "producer", "transactional"])
def test_every_client_says_the_same(secure_kafka: SecureKafka, what: str) -> None:
    own = broker(secure_kafka, "SASL", "SASL_SSL", sasl_username="service", sasl_password="wr0ng")
    make = {
        "consumer": lambda: own.consumer("t", "g", Listener()),
        "reader": lambda: own.reader("t"),
        "producer": lambda: own.producer().produce("t", 0, [b"k"], [b"v"]),
        "transactional": lambda: own.producer("id"),
    }
    with pytest.raises(AuthenticationFailed, match="refuses the login"):
        make[what]()


def test_a_mechanism_that_is_not_offered_names_those_that_are(
    secure_kafka: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "eddycast.service.broker.kafka.credentials.find_spec", lambda _name: object()
    )
    security = options(secure_kafka, "SASL_SSL", {}) | {"sasl_mechanism": "GSSAPI"}
    with pytest.raises(AuthenticationFailed, match="does not offer the mechanism") as caught:
        KafkaBroker(
            KafkaSettings(bootstrap_servers=secure_kafka.address("SASL"), **security)
        ).admin()
    assert all(mechanism in caught.value.action for mechanism in MECHANISMS)


def test_a_name_and_a_broker_that_are_not_there_yet_are_waited_for() -> None:
    for address, said in (
        ("127.0.0.1:1", "connection refused"),
        ("broker.invalid:9092", "not known to DNS"),
    ):
        with pytest.raises(BrokerUnavailable, match=said) as caught:
            KafkaBroker(KafkaSettings(bootstrap_servers=address, request_timeout_ms=1000)).admin()
        assert caught.value.retriable and address in caught.value.what


def test_a_controller_is_no_broker(secure_kafka: SecureKafka) -> None:
    with pytest.raises(BrokerError, match="cannot reach Kafka") as caught:
        KafkaBroker(
            KafkaSettings(
                bootstrap_servers=f"127.0.0.1:{secure_kafka.controller_port}",
                request_timeout_ms=1500,
            )
        ).admin()
    assert "not a controller" in caught.value.action and not caught.value.retriable


def test_a_port_that_hangs_up_is_waited_for() -> None:
    """A broker that is going down hangs up as well, so this is no refusal."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        for protocol in ("PLAINTEXT", "SSL"):
            with pytest.raises(BrokerUnavailable):
                KafkaBroker(
                    KafkaSettings(
                        bootstrap_servers=address,
                        request_timeout_ms=1000,
                        security_protocol=protocol,
                    )
                ).admin()


def test_one_address_of_several_that_lets_us_in_is_enough(secure_kafka: SecureKafka) -> None:
    servers = f"{secure_kafka.address('EXPIRED')},127.0.0.1:1,{secure_kafka.address('TLS')}"
    for _ in range(3):
        own = KafkaBroker(
            KafkaSettings(bootstrap_servers=servers, **options(secure_kafka, "SSL", {}))
        )
        own.admin().close()
        consumer = own.consumer("nothing", "nobody", Listener())
        for _ in range(3):
            consumer.poll(0.1, 1)
        consumer.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_service_s_settings_let_it_in(
    secure_kafka: SecureKafka, mechanism: str, tmp_path: Any
) -> None:
    token = tmp_path / "token"
    token.write_text(unsigned_token("service"))
    own = {"sasl_oauth_token_file": token} if mechanism == "OAUTHBEARER" else PASSWORD
    broker(secure_kafka, "SASL", "SASL_SSL", sasl_mechanism=mechanism, **own).admin().close()


def test_a_token_of_an_endpoint_lets_it_in(secure_kafka: SecureKafka, endpoint: Endpoint) -> None:
    endpoint.content = json.dumps(
        {"access_token": unsigned_token("service"), "expires_in": 60}
    ).encode()
    own = {
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_endpoint": endpoint.url,
        "sasl_oauth_client_id": "client",
        "sasl_oauth_client_secret": SECRET,
    }
    shared = broker(secure_kafka, "SASL", "SASL_SSL", **own)
    for _ in range(2):
        shared.admin().close()
    assert len(endpoint.asked) == 1
    endpoint.status = 401
    with pytest.raises(AuthenticationFailed, match="gives no token: HTTP 401") as caught:
        broker(secure_kafka, "SASL", "SASL_SSL", **own).admin()
    assert SECRET not in str(caught.value)


def test_a_client_certificate_lets_it_in(secure_kafka: SecureKafka) -> None:
    for key, password in (("client_key", None), ("client_key_encrypted", KEY_PASSWORD)):
        own = {"ssl_certfile": "client", "ssl_keyfile": key, "ssl_password": password}
        broker(secure_kafka, "MTLS", "SSL", **own).admin().close()
    broker(secure_kafka, "WRONG_HOST", "SSL", ssl_check_hostname="false").admin().close()


def test_a_token_that_the_broker_does_not_believe_is_refused(
    secure_kafka: SecureKafka, tmp_path: Any
) -> None:
    token = tmp_path / "token"
    own = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_file": token}
    for text, kind, said in (
        ("garbage", AuthenticationFailed, "refuses the login"),
        (
            unsigned_token("service", seconds=-100),
            BrokerUnavailable,
            "has expired: waiting for a new one",
        ),
    ):
        token.write_text(text)
        with pytest.raises(BrokerError, match=said) as caught:
            broker(secure_kafka, "SASL", "SASL_SSL", **own).admin()
        assert type(caught.value) is kind and text not in str(caught.value)


def test_a_login_that_is_taken_away_ends_what_runs(secure_kafka: SecureKafka, user: User) -> None:
    with closing(
        KafkaBroker(KafkaSettings(bootstrap_servers=secure_kafka.bootstrap_servers)).admin()
    ) as admin:
        admin.create_topic(user.name, 1)
    user.grant("topic", user.name, "read")
    user.grant("group", user.name, "read")
    login = {
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_username": user.name,
        "sasl_password": user.password,
    }
    consumer = broker(secure_kafka, "SASL", "SASL_SSL", **login).consumer(
        user.name, user.name, Listener()
    )
    try:
        poll_until([consumer], consumer.is_member)
        user.forget()
        manager = consumer._client._manager
        for node in list(manager._conns):
            manager.call_soon(manager.close, node)
        with pytest.raises(AuthenticationFailed, match="refuses the login"):
            poll_until([consumer], lambda: False)
    finally:
        with suppress(BrokerError):
            consumer.close()


def _hang_up(server: socket.socket) -> None:
    try:
        while True:
            connection, _ = server.accept()
            connection.recv(1024)
            connection.close()
    except OSError:
        return
