"""The Kafka with TLS, SASL and ACLs accepts the right clients on each listener."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAuthorizationFailedError, for_code
from kafka.net.sasl.oauth import AbstractTokenProvider

from deploy.kafka.pki import KEY_PASSWORD
from deploy.kafka.secure import MECHANISMS, USERS, SecureKafka, unsigned_token
from tests.support.secure import User

pytestmark = pytest.mark.kafka


class Token(AbstractTokenProvider):  # type: ignore[misc]
    def token(self) -> str:
        return unsigned_token("admin")


def ask(kafka: SecureKafka, listener: str, **security: Any) -> list[str]:
    if listener != "CLEAR":
        security = {"ssl_cafile": str(kafka.pki.ca)} | security
    with closing(KafkaAdminClient(bootstrap_servers=kafka.address(listener), **security)) as admin:
        return list(admin.list_topics())


def sasl(mechanism: str) -> dict[str, Any]:
    if mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": Token()}
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "admin",
        "sasl_plain_password": USERS["admin"],
    }


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_lets_the_administrator_in(
    secure_kafka: SecureKafka, mechanism: str
) -> None:
    for listener, protocol in (("SASL", "SASL_SSL"), ("CLEAR", "SASL_PLAINTEXT")):
        assert (
            ask(secure_kafka, listener, security_protocol=protocol, **sasl(mechanism)) is not None
        )


def test_a_client_certificate_opens_the_listener_that_wants_one(secure_kafka: SecureKafka) -> None:
    pki, both = secure_kafka.pki, {"security_protocol": "SSL"}
    for key, password in ((pki.client_key, None), (pki.client_key_encrypted, KEY_PASSWORD)):
        own = {"ssl_certfile": str(pki.client), "ssl_keyfile": str(key), "ssl_password": password}
        assert ask(secure_kafka, "MTLS", **both, **own) is not None
    strange = {"ssl_certfile": str(pki.stranger), "ssl_keyfile": str(pki.stranger_key)}
    for wrong in ({}, strange):
        with pytest.raises(KafkaError):
            ask(secure_kafka, "MTLS", **both, **wrong, bootstrap_timeout_ms=1000)


def test_rights_are_granted_and_taken_away(secure_kafka: SecureKafka, user: User) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=secure_kafka.bootstrap_servers)) as admin:
        admin.create_topics(
            {user.name: {"num_partitions": 1, "replication_factor": 1, "configs": {}}}
        )
    own = {
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": user.name,
        "sasl_plain_password": user.password,
    }
    where = {
        "bootstrap_servers": secure_kafka.address("SASL"),
        "ssl_cafile": str(secure_kafka.pki.ca),
    }
    with closing(KafkaAdminClient(security_protocol="SASL_SSL", **where, **own)) as admin:

        def seen() -> type[Exception]:
            return for_code(admin.describe_topics([user.name])[0]["error_code"])  # type: ignore[no-any-return]

        assert seen() is TopicAuthorizationFailedError
        user.grant("topic", user.name, "describe")
        assert seen().__name__ == "NoError"
        user.revoke("topic", user.name, "describe")
        assert seen() is TopicAuthorizationFailedError
