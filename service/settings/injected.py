"""Variables that Kubernetes injects into every container for each Service of the namespace.

A Service called `eddycast` or `eddycast-kafka` leads to names with the prefix of the settings
(after Docker's links):

    EDDYCAST_SERVICE_HOST=10.0.0.7          EDDYCAST_PORT=tcp://10.0.0.7:80
    EDDYCAST_SERVICE_PORT=80                EDDYCAST_PORT_80_TCP=tcp://10.0.0.7:80
    EDDYCAST_SERVICE_PORT_HTTP=80           EDDYCAST_PORT_80_TCP_PROTO=tcp, ..._PORT=80,
                                            ..._ADDR=10.0.0.7
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

#: Kubernetes names never end in a dash, so no such variable has the `__` that follows the group in
#: a setting.
_SERVICE = r"[A-Z0-9_]*[A-Z0-9]"
_PORT = rf"{_SERVICE}_PORT_\d+_(?:TCP|UDP|SCTP)"
_PROTOCOLS = {"tcp", "udp", "sctp"}


def is_injected(name: str, value: str) -> bool:
    """True for an injected variable: name and value must both match,
    so that a mistyped setting is still an error."""
    if re.fullmatch(rf"{_SERVICE}_SERVICE_HOST|{_PORT}_ADDR", name):
        return _is_address(value)
    if re.fullmatch(rf"{_SERVICE}_SERVICE_PORT(_{_SERVICE})?|{_PORT}_PORT", name):
        return value.isascii() and value.isdigit()
    if re.fullmatch(rf"{_PORT}_PROTO", name):
        return value in _PROTOCOLS
    return re.fullmatch(rf"{_SERVICE}_PORT|{_PORT}", name) is not None and _is_url(value)


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_url(value: str) -> bool:
    try:
        url = urlsplit(value)
        return url.scheme in _PROTOCOLS and url.port is not None and _is_address(url.hostname or "")
    except ValueError:
        return False
