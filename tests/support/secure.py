"""A Kafka with TLS, SASL and ACLs for the session, and users that no other test uses."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from deploy.kafka import HURRIED
from deploy.kafka.secure import SecureKafka
from tests.chaos.fleet import await_true


@dataclass(frozen=True)
class User:
    """A user of SCRAM-SHA-256 and -512 without any right, until they are granted one by one."""

    kafka: SecureKafka
    name: str
    password: str

    @property
    def variables(self) -> dict[str, str]:
        """Settings, without their prefix, of a service that is this user."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka.address("SASL"),
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__SSL_CAFILE": str(self.kafka.pki.ca),
            "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA__SASL_USERNAME": self.name,
            "KAFKA__SASL_PASSWORD": self.password,
        }

    def grant(self, kind: str, name: str, *operations: str, prefixed: bool = False) -> None:
        """Allow operations ("read", "describe_configs") on a "topic", "group",
        "transactional_id" or "cluster"."""
        pattern = ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL
        resource = ResourcePattern(ResourceType[kind.upper()], name, pattern)
        allow = ACLPermissionType.ALLOW
        acls = [
            ACL(f"User:{self.name}", "*", ACLOperation[o.upper()], allow, resource)
            for o in operations
        ]
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)) as admin:
            admin.create_acls(acls)
            self._await(admin, kind, name, operations, there=True)

    def revoke(self, kind: str, name: str, operation: str) -> None:
        """Take one right away again."""
        resource = ResourcePatternFilter(
            ResourceType[kind.upper()], name, ACLResourcePatternType.ANY
        )
        allow = ACLPermissionType.ALLOW
        which = ACLFilter(
            f"User:{self.name}", "*", ACLOperation[operation.upper()], allow, resource
        )
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)) as admin:
            admin.delete_acls([which])
            self._await(admin, kind, name, [operation], there=False)

    def forget(self) -> None:
        """The broker does not know this user any more; connections that are open stay."""
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)) as admin:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                admin.alter_user_scram_credentials(
                    [UserScramCredentialDeletion(self.name, mechanism)]
                )

    def _await(
        self,
        admin: KafkaAdminClient,
        kind: str,
        name: str,
        operations: Collection[str],
        there: bool,
    ) -> None:
        """Wait until the broker applies the rights; the controller reports them earlier."""
        wanted = {ACLOperation[operation.upper()] for operation in operations}
        resource = ResourcePatternFilter(
            ResourceType[kind.upper()], name, ACLResourcePatternType.ANY
        )
        own = ACLFilter(
            f"User:{self.name}", "*", ACLOperation.ANY, ACLPermissionType.ALLOW, resource
        )

        def applied() -> bool:
            found = {acl.operation for acl in admin.describe_acls(own)[0]}
            return wanted <= found if there else wanted.isdisjoint(found)

        await_true(applied, 60.0, f"the rights of {self.name} have not changed")


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[SecureKafka]:
    """A running node with every kind of listener (`deploy/kafka/secure.py`). Shared:
    leave it running."""
    with SecureKafka(jvm=HURRIED) as server:
        yield server


@pytest.fixture
def user(secure_kafka: SecureKafka) -> User:
    """A user without any rights yet."""
    name, password = f"user-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    known = [
        UserScramCredentialUpsertion(name, mechanism, password)
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
    ]
    with closing(KafkaAdminClient(bootstrap_servers=secure_kafka.bootstrap_servers)) as admin:
        for credential in known:
            admin.alter_user_scram_credentials([credential])
    return User(secure_kafka, name, password)
