"""SASL/GSSAPI against a real KDC and a real broker,
where MIT Kerberos and python-gssapi are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.kafka import HURRIED, KafkaServer
from deploy.kafka.server import free_ports
from tests.chaos.fleet import ROOT

TOOLS = ("krb5kdc", "kdb5_util", "kadmin.local")
SBIN = "/usr/sbin:/sbin:" + os.environ.get("PATH", "")
MISSING = [tool for tool in TOOLS if shutil.which(tool, path=SBIN) is None]
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING) or find_spec("gssapi") is None, reason="needs krb5-kdc and python-gssapi"
    ),
]

CONFIG = """
[libdefaults]
default_realm = TEST
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
TEST = {{
    kdc = 127.0.0.1:{port}
}}
[dbmodules]
TEST = {{
    db_library = db2
    database_name = {folder}/principals
}}
"""
KDC = """
[kdcdefaults]
kdc_listen = ""
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
TEST = {{
    database_name = {folder}/principals
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
}}
"""


class Realm(NamedTuple):
    """A running KDC, and a broker that accepts its tickets."""

    variables: dict[str, str]
    broker: str


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    folder = tmp_path_factory.mktemp("kdc")
    kdc_port, broker_port = free_ports(2, range(12_000, 15_000))
    (folder / "krb5.conf").write_text(CONFIG.format(port=kdc_port, folder=folder))
    (folder / "kdc.conf").write_text(KDC.format(port=kdc_port, folder=folder))
    variables = {
        "PATH": SBIN,
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        "KRB5CCNAME": f"FILE:{folder / 'tickets'}",
        "KRB5_CLIENT_KTNAME": str(folder / "client.keytab"),
    }
    environment = os.environ | variables
    run(environment, "kdb5_util", "create", "-s", "-P", "master")
    for principal, keytab in (("kafka/broker.test", "broker"), ("eddycast", "client")):
        run(environment, "kadmin.local", "-q", f"addprinc -randkey {principal}")
        run(environment, "kadmin.local", "-q", f"ktadd -k {folder}/{keytab}.keytab {principal}")
    kdc = subprocess.Popen(
        ["krb5kdc", "-n"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with KafkaServer(config=broker_config(folder, broker_port), jvm=[*HURRIED, krb5(folder)]):
            yield Realm(variables, f"127.0.0.1:{broker_port}")
    finally:
        kdc.kill()
        kdc.wait()


def broker_config(folder: Path, port: int) -> dict[str, str]:
    login = (
        f'useKeyTab=true storeKey=true keyTab="{folder}/broker.keytab" '
        'principal="kafka/broker.test@TEST"'
    )
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},KRB://127.0.0.1:{port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{{port}},KRB://127.0.0.1:{port}",
        "listener.security.protocol.map": ",".join(
            ("CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", "KRB:SASL_PLAINTEXT")
        ),
        "sasl.enabled.mechanisms": "GSSAPI",
        "sasl.kerberos.service.name": "kafka",
        "listener.name.krb.gssapi.sasl.jaas.config": (
            f"com.sun.security.auth.module.Krb5LoginModule required {login};"
        ),
    }


def krb5(folder: Path) -> str:
    return f"-Djava.security.krb5.conf={folder / 'krb5.conf'}"


def run(environment: dict[str, str], *command: str) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


SCRIPT = """
import sys
from eddycast.service.delivery.connect import kafka_broker
from eddycast.service.settings.load import load_settings
admin = kafka_broker(load_settings(sys.argv[1:], {}).kafka).admin()
admin.create_topic("kerberos", 3)
print(admin.partitions("kerberos"))
admin.close()
"""


def ask(realm: Realm, *flags: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the doctor in a process of its own, because the library reads its environment once."""
    given = [
        f"--kafka.bootstrap_servers={realm.broker}",
        "--kafka.security_protocol=SASL_PLAINTEXT",
    ]
    given += ["--kafka.sasl_mechanism=GSSAPI", "--kafka.request_timeout_ms=3000", *flags]
    environment = (
        os.environ | realm.variables | {"PYTHONPATH": str(ROOT / "deploy/package")} | changes
    )
    command = [sys.executable, "-c", SCRIPT, *given]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_a_ticket_opens_the_broker(realm: Realm) -> None:
    done = ask(realm, "--kafka.sasl_kerberos_domain_name=broker.test")
    assert done.stdout == "3\n", done.stderr


@pytest.mark.parametrize(
    ("domain", "changes", "words"),
    [
        ("other.test", {}, "not found in Kerberos database"),
        (
            "broker.test",
            {"KRB5_CLIENT_KTNAME": "/no", "KRB5CCNAME": "/no"},
            "No Kerberos credentials",
        ),
    ],
)
def test_a_ticket_that_is_not_there_is_waited_for_with_the_reason(
    realm: Realm, domain: str, changes: dict[str, str], words: str
) -> None:
    """Whoever renews tickets may be late."""
    last = ask(realm, f"--kafka.sasl_kerberos_domain_name={domain}", **changes).stderr.splitlines()[
        -1
    ]
    assert (
        last.startswith("eddycast.service.errors.BrokerUnavailable: cannot reach Kafka")
        and words in last
    )
