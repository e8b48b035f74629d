"""Certificates for a local Kafka: valid ones and each kind of invalid one,
created for every server."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Password of `Pki.client_key_encrypted`.
KEY_PASSWORD = "key-password"  # noqa: S105 - the key exists only during a test
_DAY = dt.timedelta(days=1)
_HERE = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


class Pki(NamedTuple):
    """PEM files. Those of servers hold key and certificate, as Kafka requires."""

    ca: Path
    other_ca: Path  # has signed no server certificate
    server: Path
    expired: Path
    wrong_host: Path  # valid for kafka.example only
    client: Path  # certificate of CN=service
    client_key: Path
    client_key_encrypted: Path
    stranger: Path  # certificate of CN=service, signed by other_ca
    stranger_key: Path


class _Identity(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def make_pki(directory: Path) -> Pki:
    """Write two authorities, three server identities and two clients into `directory`."""
    ca, other = _authority("Eddycast test CA"), _authority("another CA")
    client, stranger = _signed(ca, "service"), _signed(other, "service")

    def write(name: str, *parts: bytes) -> Path:
        path = directory / name
        path.write_bytes(b"".join(parts))
        return path

    def server(name: str, names: Sequence[x509.GeneralName], days: int = 30) -> Path:
        own = _signed(ca, name, names, days)
        return write(f"{name}.pem", _pem(own.key), _pem(own.certificate), _pem(ca.certificate))

    return Pki(
        ca=write("ca.pem", _pem(ca.certificate)),
        other_ca=write("other-ca.pem", _pem(other.certificate)),
        server=server("server", _HERE),
        expired=server("expired", _HERE, days=-1),
        wrong_host=server("wrong-host", [x509.DNSName("kafka.example")]),
        client=write("client.pem", _pem(client.certificate)),
        client_key=write("client-key.pem", _pem(client.key)),
        client_key_encrypted=write("client-key-encrypted.pem", _pem(client.key, KEY_PASSWORD)),
        stranger=write("stranger.pem", _pem(stranger.certificate)),
        stranger_key=write("stranger-key.pem", _pem(stranger.key)),
    )


def _authority(name: str) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    blank = (
        _blank(key, name, days=30)
        .issuer_name(_named(name))
        .add_extension(constraints, critical=True)
    )
    return _Identity(key, blank.sign(key, hashes.SHA256()))


def _signed(
    ca: _Identity, name: str, names: Sequence[x509.GeneralName] = (), days: int = 30
) -> _Identity:
    """Create a key and a certificate for it signed by `ca`, valid for `days`."""
    key = ec.generate_private_key(ec.SECP256R1())
    blank = _blank(key, name, days).issuer_name(ca.certificate.subject)
    if names:
        blank = blank.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _Identity(key, blank.sign(ca.key, hashes.SHA256()))


def _blank(key: ec.EllipticCurvePrivateKey, name: str, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(_named(name)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - 3 * _DAY).not_valid_after(now + days * _DAY)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(what: x509.Certificate | ec.EllipticCurvePrivateKey, password: str = "") -> bytes:
    if isinstance(what, x509.Certificate):
        return what.public_bytes(serialization.Encoding.PEM)
    encryption = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    return what.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
