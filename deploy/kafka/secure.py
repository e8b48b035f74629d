"""A Kafka on loopback ports with TLS, SASL and ACLs: `python -m deploy.kafka --secure`.

One node with a listener per kind of access:

    PLAINTEXT    no TLS; every client is User:ANONYMOUS, a super user, for administration
    TLS          TLS; clients are User:ANONYMOUS as well
    MTLS         TLS with a required client certificate; CN=service is User:CN=service
    SASL         SASL over TLS: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
    CLEAR        SASL without TLS
    EXPIRED      TLS with an expired certificate
    WRONG_HOST   TLS with a certificate for another host
    ELSEWHERE    no TLS; advertises a host that does not exist

`admin` is a super user; other users have the rights that ACLs grant. OAUTHBEARER accepts unsigned
tokens (`unsigned_token`), which Kafka supports for tests.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.kafka.pki import make_pki
from deploy.kafka.server import KafkaServer, free_ports

#: Users and passwords for PLAIN and SCRAM.
USERS = {"admin": "admin-secret", "service": "service-secret", "guest": "guest-secret"}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_PROTOCOLS = {
    "TLS": "SSL",
    "MTLS": "SSL",
    "SASL": "SASL_SSL",
    "CLEAR": "SASL_PLAINTEXT",
    "EXPIRED": "SSL",
    "WRONG_HOST": "SSL",
    "ELSEWHERE": "PLAINTEXT",
}
#: Host advertised by ELSEWHERE.
NOWHERE = "nowhere.invalid"
#: Range of ports for the listeners, distinct from the node's own.
_PORTS = range(15_000, 20_000)
_LOGIN = "org.apache.kafka.common.security"


class SecureKafka(KafkaServer):
    """One node with all listeners of this file.

    `port` is that of PLAINTEXT, followed by the others; by default free ports.
    `pki` holds the certificates.
    """

    def __init__(self, *, port: int | None = None, jvm: Sequence[str] = ()) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="eddycast-pki-"))
        self.pki = make_pki(self._folder)
        count = len(_PROTOCOLS)
        ports = free_ports(count, _PORTS) if port is None else range(port + 1, port + 1 + count)
        self._listeners = dict(zip(_PROTOCOLS, ports, strict=True))
        scram = []
        for mechanism in MECHANISMS[1:3]:
            for user, password in USERS.items():
                scram += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        super().__init__(port=port, config=self._configured(), formatting=scram, jvm=jvm)

    def address(self, listener: str) -> str:
        """Return HOST:PORT of a listener."""
        return (
            f"127.0.0.1:{self._listeners[listener]}"
            if listener in self._listeners
            else self.bootstrap_servers
        )

    def details(self) -> list[str]:
        """See `KafkaServer`."""
        listeners = [f"  {name:<11} {self.address(name)}" for name in self._listeners]
        users = ", ".join(f"{user} {password}" for user, password in USERS.items())
        return [*listeners, f"users: {users}", f"certificates: {self._folder}"]

    def stop(self) -> None:
        """Stop the node and remove its data and certificates."""
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _configured(self) -> dict[str, str]:
        """Return settings for `server.properties`."""
        ways = [f"{name}://127.0.0.1:{port}" for name, port in self._listeners.items()]
        elsewhere = f"ELSEWHERE://{NOWHERE}:{self._listeners['ELSEWHERE']}"
        protocols = [f"{name}:{protocol}" for name, protocol in _PROTOCOLS.items()]
        config = {
            "listeners": ",".join(
                ["PLAINTEXT://127.0.0.1:{port}", "CONTROLLER://127.0.0.1:{controller_port}", *ways]
            ),
            "advertised.listeners": ",".join(
                ["PLAINTEXT://127.0.0.1:{port}", *ways[:-1], elsewhere]
            ),
            "listener.security.protocol.map": ",".join(
                ["CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", *protocols]
            ),
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:admin",
            "allow.everyone.if.no.acl.found": "false",
            "connection.failed.authentication.delay.ms": "50",
        }
        for name, protocol in _PROTOCOLS.items():
            own = self._keys(name) if protocol.endswith("SSL") else {}
            own |= _logins() if protocol.startswith("SASL") else {}
            config |= {f"listener.name.{name.lower()}.{key}": value for key, value in own.items()}
        return config

    def _keys(self, listener: str) -> dict[str, str]:
        own = {"EXPIRED": self.pki.expired, "WRONG_HOST": self.pki.wrong_host}.get(
            listener, self.pki.server
        )
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(own),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.pki.ca),
            "ssl.client.auth": "required" if listener == "MTLS" else "none",
        }


def unsigned_token(user: str, seconds: float = 3600.0) -> str:
    """Return an OAUTHBEARER token that the test broker accepts,
    for `user` and valid for `seconds`."""
    now = int(time.time())
    parts = {"alg": "none"}, {"sub": user, "iat": now - 60, "exp": now + int(seconds)}
    return (
        ".".join(
            base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts
        )
        + "."
    )


def _logins() -> dict[str, str]:
    users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    return {
        "plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {users};",
        "scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        "scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        "oauthbearer.sasl.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";',
    }
