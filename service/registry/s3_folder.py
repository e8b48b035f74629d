"""A registry's storage in a bucket of S3, or of a store that speaks its protocol."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from s3fs import S3FileSystem

from eddycast.service.errors import RegistryError, RegistryUnavailable

_ACCESS = "check registry.endpoint_url, the network, and the credentials of this process"
#: Attempts of a creation that another one of the same key disturbs.
_ATTEMPTS = 5
_CONFLICT, _EXISTS = "ConditionalRequestConflict", "PreconditionFailed"
_CONNECTION = {"connect_timeout": 5, "read_timeout": 20}


class S3Folder:
    """A `Folder` in a bucket: a key is put under the condition that there is none of its name
    (`If-None-Match: *`), which a store must check and write in one step.

    Before the first creation a probe creates one key twice, and refuses a store that allows it.
    """

    def __init__(self, url: str, endpoint_url: str | None = None) -> None:
        """`url` is s3://BUCKET or s3://BUCKET/PREFIX. Credentials and region come from the
        environment and the configuration files of AWS. Connects to nothing yet. Raises
        RegistryError for a URL without a bucket."""
        parts = urlsplit(url)
        if not parts.netloc:
            raise RegistryError(f"{url} names no bucket", "set registry.url to s3://BUCKET/PREFIX")
        self._bucket = parts.netloc
        self._root = "/".join(filter(None, [parts.netloc, *parts.path.split("/")]))
        self._store = S3FileSystem(
            endpoint_url=endpoint_url,
            config_kwargs=_CONNECTION,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._is_probed = False

    def prepare(self) -> None:
        """See `Folder`. The bucket must exist; raises RegistryError for a store on which two
        processes could create the same file."""
        if self._is_probed:
            return
        name = f"{self._root}/.probe-{uuid.uuid4().hex}"
        with _answering(f"s3://{self._root}"):
            created = [self._put(name, content) for content in (b"first", b"second")]
            self._store.rm_file(name)
        if created != [True, False]:
            raise RegistryError(
                f"the store of s3://{self._root} creates a key twice: it does not honour "
                "If-None-Match, so two promotions at once would both succeed",
                "keep the registry in a store that does, or in a folder",
            )
        self._is_probed = True

    def names(self, place: str) -> list[str]:
        """See `Folder`. Names that begin with a dot are left out."""
        path = f"{self._root}/{place}"
        with _answering(f"s3://{path}"):
            try:
                found = self._store.ls(path, detail=False)
            except FileNotFoundError:
                if not self._store.exists(self._bucket):
                    what = f"there is no bucket {self._bucket}, or this process may not list it"
                    raise RegistryUnavailable(what, _ACCESS) from None
                return []
        names = (str(each).rstrip("/").rpartition("/")[2] for each in found)
        return sorted(name for name in names if not name.startswith("."))

    def read(self, name: str) -> bytes:
        """See `Folder`."""
        path = f"{self._root}/{name}"
        with _answering(f"s3://{path}"):
            try:
                return bytes(self._store.cat_file(path))
            except FileNotFoundError:
                raise RegistryError(f"s3://{path} does not exist") from None

    def create(self, name: str, content: bytes) -> bool:
        """See `Folder`. Raises RegistryError as `prepare`."""
        self.prepare()
        path = f"{self._root}/{name}"
        with _answering(f"s3://{path}"):
            return self._put(path, content)

    def delete(self, name: str) -> None:
        """See `Folder`."""
        with _answering(f"s3://{self._root}/{name}"):
            self._store.rm_file(f"{self._root}/{name}")

    @contextmanager
    def local(self, place: str) -> Iterator[Path]:
        """See `Folder`. Files are copied to a temporary directory."""
        with tempfile.TemporaryDirectory(prefix="eddycast-") as directory:
            for name in self.names(place):
                (Path(directory) / name).write_bytes(self.read(f"{place}/{name}"))
            yield Path(directory)

    def _put(self, path: str, content: bytes) -> bool:
        """Create a key; False if it exists."""
        for attempt in range(_ATTEMPTS):
            try:
                self._store.pipe_file(path, content, mode="create")
            except (OSError, ClientError) as error:
                code = _code(error)
                if isinstance(error, FileExistsError) or code == _EXISTS:
                    return False
                if code != _CONFLICT or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return True
        return False


def _code(error: BaseException | None) -> str:
    """The store's code of an error, which s3fs translates for some of them; "" without one."""
    while error is not None and not isinstance(error, ClientError):
        error = error.__cause__
    return "" if error is None else str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _answering(place: str) -> Iterator[None]:
    """Turn every failure of the store into RegistryUnavailable."""
    try:
        yield
    except (OSError, BotoCoreError, ClientError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RegistryUnavailable(f"{place}: {said}", _ACCESS) from error
