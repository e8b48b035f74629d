"""An S3 of the session: moto's server, one request at a time, because it checks the condition of a
put and writes in two steps, which a store must not."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import make_server

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True)
class Store:
    """A running server."""

    endpoint_url: str

    def bucket(self) -> str:
        """The URL of a new bucket."""
        name = f"test-{uuid.uuid4().hex}"
        store = S3FileSystem(
            endpoint_url=self.endpoint_url,
            key=KEYS["AWS_ACCESS_KEY_ID"],
            secret=KEYS["AWS_SECRET_ACCESS_KEY"],
            skip_instance_cache=True,
        )
        store.mkdir(name)
        return f"s3://{name}"


@contextmanager
def serving(*, conditions: bool = True) -> Iterator[Store]:
    """A server; without `conditions` it ignores them, as some stores do."""
    application: _Application = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_by_one(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not conditions:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        with lock:
            return [b"".join(application(environ, start_response))]

    server = make_server("127.0.0.1", 0, one_by_one, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="moto", daemon=True)
    thread.start()
    try:
        yield Store(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Store]:
    with serving() as store:
        yield store


@pytest.fixture
def s3(s3_server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store, and its credentials in the environment."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    return s3_server
