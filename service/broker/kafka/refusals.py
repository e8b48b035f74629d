"""Reasons of failed connections: an error for those that waiting does not cure,
a short text for all others."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence

from kafka import errors as vendor

from eddycast.service.errors import AccessRefused, AuthenticationFailed, EddycastError, TlsFailed

#: Actions for verification results of OpenSSL (`man 3ssl X509_STORE_CTX_get_error`).
_VERIFICATION = {
    9: "compare the clocks of both machines",
    10: "renew the broker's certificate",
    23: "give the broker a certificate that is not revoked",
    62: "connect by a name in the certificate, or set kafka.ssl_check_hostname",
    64: "connect by a name in the certificate, or set kafka.ssl_check_hostname",
}
_AUTHORITY = "set kafka.ssl_cafile to the certificate of the authority that signed it"
#: Reasons of OpenSSL for a client certificate that the peer refuses or misses.
_OUR_CERTIFICATE = re.compile(
    r"ALERT_(BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_|UNSUPPORTED_CERT|ACCESS_DENIED)"
)
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}


def refusal(error: BaseException, where: str = "the broker") -> AccessRefused | None:
    """The error for a failure that waiting does not cure, with `where` in its text;
    None for all others."""
    if isinstance(error, EddycastError):  # raised by a token provider
        return error if isinstance(error, AccessRefused) else None
    if isinstance(error, vendor.UnsupportedSaslMechanismError):
        return AuthenticationFailed(f"{where} does not offer the mechanism of kafka.sasl_mechanism")
    if isinstance(error, vendor.IllegalSaslStateError):
        return no_sasl(where)
    if isinstance(error, vendor.SaslAuthenticationFailedError):
        said = _detail(error).partition("SaslAuthenticationFailedError: ")[2] or _detail(error)
        action = "correct kafka.sasl_username and its password, or the token"
        return AuthenticationFailed(f"{where} refuses the login: {said}", action)
    tls = _tls(error)
    return None if tls is None else _of_tls(tls, where)


def interrupted(error: BaseException) -> bool:
    """True for a connection that ended without an error,
    as when the two sides speak different protocols."""
    detail = _detail(error)
    return not isinstance(error, EddycastError) and not any(
        word in detail for word in ("ECONNREFUSED", "DNS")
    )


def reason(error: BaseException) -> str:
    """Short text of a transient error."""
    detail = _detail(error)
    if "DNS" in detail:
        return "the name is not known to DNS"
    if (found := re.match(r"(?:unable to connect: )?\[?(?:Errno )?(\d+)\b", detail)) is not None:
        return os.strerror(int(found[1])).lower()
    return detail


def choice_of(mechanisms: Sequence[str]) -> str:
    """The action for a mechanism that is not among these."""
    return (
        f"choose one of {', '.join(mechanisms)}"
        if mechanisms
        else "choose one that the broker offers"
    )


def no_sasl(where: str) -> AuthenticationFailed:
    """The error for a port without SASL."""
    return AuthenticationFailed(
        f"{where} does not support a login", "set kafka.security_protocol to SSL or PLAINTEXT"
    )


def _detail(error: BaseException) -> str:
    return ", ".join(map(str, error.args)) or type(error).__name__


def _tls(error: BaseException) -> ssl.SSLError | None:
    """The TLS error that caused a client's error;
    None if there is none or the connection merely ended."""
    for candidate in (error, *error.args, error.__context__):
        if isinstance(candidate, ssl.SSLError):
            return (
                None
                if isinstance(candidate, ssl.SSLEOFError | ssl.SSLZeroReturnError)
                else candidate
            )
    return None


def _of_tls(error: ssl.SSLError, where: str) -> TlsFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        action = _VERIFICATION.get(error.verify_code, _AUTHORITY)
        message = error.verify_message.rstrip(".")
        return TlsFailed(f"the certificate of {where} is not accepted: {message}", action)
    said = error.reason or str(error)
    if _OUR_CERTIFICATE.search(said) or "CERTIFICATE_REQUIRED" in said:
        what = f"{where} does not accept the client's certificate, or requires one ({_words(said)})"
        return TlsFailed(
            what,
            "set kafka.ssl_certfile and kafka.ssl_keyfile to a certificate that the broker trusts",
        )
    if said in _NO_TLS:
        return no_tls(where)
    return TlsFailed(
        f"{where}: TLS failed: {_words(said)}", "compare the TLS versions and ciphers of both sides"
    )


def no_tls(where: str) -> TlsFailed:
    """The error for a port without TLS."""
    return TlsFailed(
        f"{where} does not speak TLS", "set kafka.security_protocol to PLAINTEXT or SASL_PLAINTEXT"
    )


def _words(reason: str) -> str:
    return re.sub(r"^(SSLV3|TLSV\d+)_ALERT_", "", reason).replace("_", " ").lower()
