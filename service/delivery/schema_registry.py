"""The schema registry: ids of the Avro schemas that are written, and schemas of those that are
read, by the protocol of Confluent's registry.

Both directions are remembered, so that a schema is asked for once.
"""

from __future__ import annotations

import base64
import json
import math
import ssl
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from threading import Event
from time import monotonic, sleep
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

from eddycast.service.errors import SchemaRegistryError, SchemaRegistryUnavailable
from eddycast.service.formats.avro_frame import SchemaId
from eddycast.service.formats.avro_schema import Schema
from eddycast.service.formats.schemas import NO_SCHEMAS
from eddycast.service.observability.log import get_log
from eddycast.service.settings.schema_registry import SchemaRegistrySettings
from eddycast.service.settings.text_file import text_of

_TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 1 << 20
#: Before each attempt to look up an id, s.
_PAUSES_S: Final = (0.0, 0.5, 1.0)
#: An id that is unknown is not asked for again for so long.
_UNKNOWN_S: Final = 30.0
_FEW, _MOST_UNKNOWN = 10, 10_000
_TYPE: Final = "application/vnd.schemaregistry.v1+json"
#: Statuses after which the same request may succeed.
_AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
#: Codes, in the body of an answer, of a subject and of an id that the registry does not know.
_UNKNOWN: Final = (40401, 40403)


class SchemaRegistry:
    """Asked by the thread that loads models, and by readers of forecasts; keeps no connection."""

    def __init__(self, settings: SchemaRegistrySettings, topic: str) -> None:
        """`topic` is that of the forecasts. Connects to nothing yet. Raises SettingsError for a
        password that cannot be read."""
        self._url = (settings.url or "").rstrip("/")
        self._subject = f"{topic}-value"
        self._path = f"/subjects/{quote(self._subject, '')}/versions"
        self._headers = {"Content-Type": _TYPE, "Accept": f"{_TYPE}, application/json"}
        if settings.username is not None:
            login = f"{settings.username}:{_password(settings)}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._ids: dict[str, int] = {}
        self._schemas: dict[SchemaId, Schema] = {}
        self._unknown: dict[SchemaId, float] = {}  # when to ask again, monotonic s

    def id_of(self, schema: Schema) -> int:
        """The id of a schema of the forecasts, which is registered if it is new.
        Raises SchemaRegistryUnavailable, SchemaRegistryError."""
        text = json.dumps(schema)
        if text not in self._ids:
            answer = self._ask(self._path, {"schema": text})
            self._ids[text] = self._field(answer, "id", int)
        return self._ids[text]

    def schema_of(self, schema_id: SchemaId) -> Schema | None:
        """The schema with an id; None if there is none, also after some seconds: a registry may
        learn of a schema later than readers of its records do.
        Raises SchemaRegistryUnavailable, SchemaRegistryError, SettingsError."""
        if not self._url:
            return NO_SCHEMAS.schema_of(schema_id)
        if schema_id not in self._schemas:
            if (found := self._looked_up(schema_id)) is None:
                return None
            self._schemas[schema_id] = found
        return self._schemas[schema_id]

    def _looked_up(self, schema_id: SchemaId) -> Schema | None:
        """Asks again after each pause, then not for a while; once for an id if many are unknown, as
        where foreign records begin with a zero byte."""
        kind = "ids" if isinstance(schema_id, int) else "guids"
        if monotonic() < self._unknown.get(schema_id, -math.inf):
            return None
        for pause in _PAUSES_S if len(self._unknown) < _FEW else _PAUSES_S[:1]:
            sleep(pause)
            if (answer := self._ask(f"/schemas/{kind}/{schema_id}")) is not None:
                return _parsed(self._field(answer, "schema", str))
        if len(self._unknown) >= _MOST_UNKNOWN:
            self._unknown.clear()
        self._unknown[schema_id] = monotonic() + _UNKNOWN_S
        return None

    def versions(self) -> int:
        """The number of schemas that the subject of the forecasts has had. Raises as `id_of`."""
        return len(self._ask(self._path) or ())

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a request; None where the registry has no such schema."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, self._headers)  # noqa: S310 - the settings allow http(s)
        try:
            with build_opener(_Straight).open(request, timeout=_TIMEOUT_S) as answer:
                return json.loads(answer.read(_MOST_BYTES))
        except HTTPError as error:
            found = _content(error)
            if error.code == HTTPStatus.NOT_FOUND and found.get("error_code") in _UNKNOWN:
                return None
            raise self._refused(error.code, str(found.get("message", ""))) from error
        except (OSError, HTTPException) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise SchemaRegistryError(
                    f"the certificate of {self._url} is not accepted: {cause.verify_message}",
                    "add its authority to the system's trust store, or set SSL_CERT_FILE",
                ) from error
            raise SchemaRegistryUnavailable(
                f"the schema registry at {self._url} does not answer: {cause}",
                "start it, or correct schema_registry.url",
            ) from error
        except ValueError as error:
            raise self._none_there() from error

    def _field(self, answer: Any, name: str, kind: type) -> Any:
        found = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(found, kind):
            raise self._none_there()
        return found

    def _none_there(self) -> SchemaRegistryError:
        return SchemaRegistryError(
            f"{self._url} is no schema registry", "correct schema_registry.url"
        )

    def _refused(self, status: int, message: str) -> SchemaRegistryError:
        what = f"the schema registry at {self._url} answers HTTP {status}"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN:
            return SchemaRegistryUnavailable(f"{what}: {message}", "look into its log")
        match status:
            case HTTPStatus.CONFLICT:
                return SchemaRegistryError(
                    f"the schema registry refuses the schema of {self._subject} as incompatible "
                    f"with an earlier one: {message}",
                    "write to another topic (topics.output), or change the subject's compatibility",
                )
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return SchemaRegistryError(
                    what, "correct schema_registry.username and its password, or grant it a right"
                )
            case HTTPStatus.NOT_FOUND:
                return self._none_there()
        return SchemaRegistryError(f"{what}: {message}", "correct schema_registry.url")


def reach_schemas(
    register: Callable[[], object],
    stop: Event,
    waiting: Callable[[str], None],
    every_s: float = 2.0,
) -> bool:
    """Call `register` until the schema registry answers; False if `stop` is set before.

    Logs each failed attempt and calls `waiting("the schema registry")` after it.
    """
    while not stop.is_set():
        try:
            register()
            return True
        except SchemaRegistryUnavailable as error:
            waiting("the schema registry")
            get_log().warning("waiting for the schema registry", reason=str(error))
            stop.wait(every_s)
    return False


class _Straight(HTTPRedirectHandler):
    """Follows no redirect, which would send the password elsewhere;
    a redirect is an HTTP error here."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _parsed(text: str) -> Schema | None:
    """The schema of a text, None for one of another kind than Avro."""
    try:
        schema: Schema = json.loads(text)
    except ValueError:
        return None
    return schema


def _content(error: HTTPError) -> dict[str, Any]:
    """The JSON object in the body of an error, empty if there is none."""
    try:
        found = json.loads(error.read(_MOST_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _password(settings: SchemaRegistrySettings) -> str:
    if settings.password is not None:
        return settings.password.get_secret_value()
    file = settings.password_file
    return "" if file is None else text_of(file, "schema_registry.password_file")
