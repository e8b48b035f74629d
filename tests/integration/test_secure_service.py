"""The service on a broker with TLS, logins and access control:
the exact rights that it needs, and the errors without them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from deploy.kafka.secure import NOWHERE, USERS, SecureKafka
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.delivery.topic_checks import CHANGELOG
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.settings import PREFIX
from tests.chaos.fleet import ROOT, Fleet, Worker, await_true
from tests.support.bundles import write_bundle
from tests.support.processes import QUICK, Site, said
from tests.support.secure import User

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: All rights of a service as listed in docs/security.md: kind, name, and operations.
RIGHTS = {
    "input": ("topic", "-input", ["read"]),
    "output": ("topic", "-output", ["write", "describe_configs"]),
    "dead letters": ("topic", "-dead", ["write", "describe_configs"]),
    "changelog": ("topic", "-changelog", ["read", "write", "describe_configs"]),
    "group": ("group", "", ["read"]),
    "transactions": ("transactional_id", "eddycast-", ["write"]),
}


def grant(user: User, right: str, *more: str, without: str = "") -> None:
    kind, name, operations = RIGHTS[right]
    allowed = [operation for operation in [*operations, *more] if operation != without]
    whole = f"{name}{user.name}" if kind == "transactional_id" else f"{user.name}{name}"
    user.grant(kind, whole, *allowed, prefixed=kind == "transactional_id")


@pytest.fixture
def site(secure_kafka: SecureKafka, user: User, tmp_path: Path) -> Iterator[Site]:
    """A group whose topics are there, and a user without rights."""
    write_bundle(tmp_path / "bundle")
    topics = {"INPUT": "-input", "OUTPUT": "-output", "DEAD_LETTERS": "-dead"}
    variables = (
        QUICK
        | user.variables
        | {f"TOPICS__{kind}": user.name + suffix for kind, suffix in topics.items()}
        | {"BUNDLE__DIRECTORY": str(tmp_path / "bundle"), "KAFKA__GROUP": user.name}
        | {"HTTP__PORT": "0", "LOG__FORMAT": "json"}
    )
    with closing(
        KafkaBroker(KafkaSettings(bootstrap_servers=secure_kafka.bootstrap_servers)).admin()
    ) as admin:
        for suffix in topics.values():
            admin.create_topic(user.name + suffix, 2)
        admin.create_topic(f"{user.name}-changelog", 2, config=CHANGELOG)
    with Fleet(variables, tmp_path) as fleet:
        yield Site(secure_kafka, tmp_path, fleet, variables, user.name)


def ended(site: Site, worker: Worker) -> str:
    """Its last line, once it has ended with the code of the broker's errors,
    without a trace and without a secret."""
    assert worker.wait(60.0) == 5, worker.tail()
    site.fleet.remove(worker)
    text = worker.log.read_text()
    assert "Traceback" not in text and site.variables["KAFKA__SASL_PASSWORD"] not in text
    return text.splitlines()[-1]


def doctor(site: Site, **changes: str) -> str:
    """Output of the doctor, which must find a problem, with single spaces between words."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    variables = {PREFIX + name: value for name, value in (site.variables | changes).items()}
    command = [sys.executable, "-m", "eddycast.service", "doctor"]
    environment = inherited | {"COLUMNS": "1000"} | variables
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert site.variables["KAFKA__SASL_PASSWORD"] not in done.stdout + done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_these_rights_are_enough(site: Site, user: User, delivery: str) -> None:
    for right in RIGHTS:
        grant(user, right)
    worker = site.serving(COMMIT__DELIVERY=delivery)
    site.feed(range(10))
    site.await_forecasts(40)
    assert site.end(worker) == 0, worker.tail()
    worker = site.serving(COMMIT__DELIVERY=delivery)  # restores, which reads the changelog
    site.feed(range(10, 12))
    site.await_forecasts(48)
    assert site.end(worker, signal.SIGHUP) == 0, worker.tail()
    assert said(worker, "stopped")


def test_topics_that_are_missing_need_the_right_to_create_them(site: Site, user: User) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=site.kafka.bootstrap_servers)) as admin:
        admin.delete_topics(
            [f"{user.name}{suffix}" for suffix in ("-output", "-dead", "-changelog")]
        )
    for right in RIGHTS:
        grant(user, right)
    line = ended(site, site.start())
    assert (
        f"topic {user.name}-output" in line
        and f"--operation Create --topic {user.name}-output" in line
    )
    for right in ("output", "dead letters", "changelog"):
        grant(user, right, "create")
    worker = site.serving()
    assert site.end(worker) == 0


@pytest.mark.parametrize(
    ("right", "operation", "words"),
    [
        ("input", "read", "--operation Read --topic {name}-input"),
        ("output", "write", "--operation Write --operation DescribeConfigs --topic {name}-output"),
        (
            "dead letters",
            "write",
            "--operation Write --operation DescribeConfigs --topic {name}-dead",
        ),
        ("changelog", "read", "--operation Read --topic {name}-changelog"),
        ("changelog", "describe_configs", "--operation DescribeConfigs --topic {name}-changelog"),
        ("group", "read", "forbids this user to use the group"),
    ],
)
def test_a_right_that_is_missing_ends_the_start_and_the_doctor_says_the_same(
    site: Site, user: User, right: str, operation: str, words: str
) -> None:
    for each in RIGHTS:
        grant(user, each, without=operation if each == right else "")
    expected = words.format(name=user.name)
    assert expected in ended(site, site.start())
    assert expected in doctor(site)


def test_a_transactional_id_that_is_not_ours_ends_the_service(site: Site, user: User) -> None:
    for right in RIGHTS:
        if right != "transactions":
            grant(user, right)
    worker = site.start()
    site.feed(range(3))
    words = "forbids this user to use the transactional id"
    assert words in ended(site, worker)
    assert words in doctor(site)


@pytest.mark.parametrize("right", ["input", "output", "changelog", "group", "transactions"])
def test_a_right_that_is_taken_away_ends_the_service(site: Site, user: User, right: str) -> None:
    for each in RIGHTS:
        grant(user, each)
    worker = site.serving()
    site.feed(range(3))
    site.await_forecasts(12)
    kind, name, operations = RIGHTS[right]
    whole = f"{name}{user.name}" if kind == "transactional_id" else f"{user.name}{name}"
    user.revoke(kind, whole, "write" if "write" in operations else operations[0])
    site.feed(range(3, 6))
    assert "forbids this user to use the" in ended(site, worker)


@pytest.mark.parametrize("right", ["changelog", "transactions"])
def test_a_right_that_is_taken_away_ends_an_idle_service(
    site: Site, user: User, right: str
) -> None:
    """The input holds no record whose refusal could end it."""
    for each in RIGHTS:
        grant(user, each)
    worker = site.serving()
    kind, name, _ = RIGHTS[right]
    user.revoke(
        kind, f"{name}{user.name}" if kind == "transactional_id" else f"{user.name}{name}", "write"
    )
    assert "forbids this user to use the" in ended(site, worker)


WRONG = {
    "password": ({"KAFKA__SASL_PASSWORD": "wr0ng"}, "refuses the login"),
    "mechanism": ({"KAFKA__SASL_MECHANISM": "PLAIN"}, "refuses the login"),
    "authority": ({"KAFKA__SSL_CAFILE": "other_ca"}, "certificate"),
    "certificate": ({"KAFKA__BOOTSTRAP_SERVERS": "EXPIRED"}, "certificate has expired"),
    "host": ({"KAFKA__BOOTSTRAP_SERVERS": "WRONG_HOST"}, "not valid for '127.0.0.1'"),
    "port": ({"KAFKA__BOOTSTRAP_SERVERS": "CLEAR"}, "does not speak TLS"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_waiting_does_not_cure_ends_the_service_and_the_doctor_says_the_same(
    site: Site, secure_kafka: SecureKafka, what: str
) -> None:
    changes, words = WRONG[what]
    meant = {name: _meant(secure_kafka, value) for name, value in changes.items()}
    line = ended(site, site.start(**meant))
    assert words in line and "Unable to bootstrap" not in line
    assert words in doctor(site, **meant)
    assert not said_of(site, "wr0ng")


def test_a_broker_that_is_not_there_yet_is_waited_for_with_its_reason(site: Site) -> None:
    worker = site.start(KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1,broker.invalid:9092")
    await_true(lambda: said(worker, "waiting for the broker"), 60.0, "it does not wait")
    reason = said(worker, "waiting for the broker")[0]["reason"]
    assert "connection refused" in reason or "not known to DNS" in reason
    assert site.end(worker) == 0


def test_an_address_that_the_broker_names_and_that_is_not_there_is_waited_for(
    site: Site, secure_kafka: SecureKafka
) -> None:
    changes = {
        "KAFKA__BOOTSTRAP_SERVERS": secure_kafka.address("ELSEWHERE"),
        "KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",
    }
    changes |= dict.fromkeys(
        ("KAFKA__SSL_CAFILE", "KAFKA__SASL_USERNAME", "KAFKA__SASL_PASSWORD"), ""
    )
    worker = site.start(**changes)
    await_true(lambda: said(worker, "waiting for the broker"), 60.0, "it does not wait")
    words = (
        f"{NOWHERE}:{secure_kafka.address('ELSEWHERE').split(':')[1]}: the name is not known to DNS"
    )
    reason = said(worker, "waiting for the broker")[0]["reason"]
    assert words in reason and "advertised.listeners" in reason
    assert words in doctor(site, **changes)
    assert site.end(worker) == 0


def test_a_password_in_the_clear_is_warned_of(site: Site, secure_kafka: SecureKafka) -> None:
    clear = {
        "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA__BOOTSTRAP_SERVERS": secure_kafka.address("CLEAR"),
        "KAFKA__SSL_CAFILE": "",
        "KAFKA__SASL_MECHANISM": "PLAIN",
        "KAFKA__SASL_USERNAME": "guest",
        "KAFKA__SASL_PASSWORD": USERS["guest"],
    }
    worker = site.start(**clear)
    assert worker.wait(60.0) == 5  # a guest may do nothing
    site.fleet.remove(worker)
    (warning,) = [line for line in said(worker) if "in the clear" in line.get("event", "")]
    assert warning["level"] == "warning" and warning["action"] == "use SASL_SSL"
    assert "in the clear" in doctor(site, **clear)


def _meant(kafka: SecureKafka, value: str) -> str:
    """A listener's address, a certificate's path, or the value itself."""
    return (
        kafka.address(value)
        if value.isupper() and value != "PLAIN"
        else str(getattr(kafka.pki, value, value))
    )


def said_of(site: Site, text: str) -> list[str]:
    """Lines of all logs that hold a text."""
    logs = [path.read_text() for path in site.directory.glob("worker-*.log")]
    return [line for log in logs for line in log.splitlines() if text in json.dumps(line)]
