"""Trust in bundles: versions cover the manifest, a setting pins one,
and signatures identify the author."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.__main__ import run
from eddycast.service.bundle import MANIFEST, Manifest
from eddycast.service.errors import BundleError, SettingsError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import content_version, read_manifest
from eddycast.service.sealing.signatures import SIGNATURE, new_key, sign
from eddycast.service.sealing.trust import Trust
from eddycast.service.settings.load import load_settings
from tests.support.bundles import Walk, write_bundle

CONTRACT_1 = Path(__file__).parents[1] / "support" / "contract1" / "bundle"


def edited(directory: Path, **change: Any) -> None:
    document = json.loads((directory / MANIFEST).read_text()) | change
    (directory / MANIFEST).write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        {"interval_ms": 1_000, "forecast_interval_ms": 1_000},
        {"max_gap": 9},
        {"kind": "counter"},
        {"support": "integer"},
        {"warmup_steps": 3},
        {"name": "other"},
        {"family": "other"},
        {"seasons_ms": [86_400_000]},
        {"channels": ["other"], "targets": ["other"]},
        {"tools": {"torch": "0"}},
    ],
    ids=lambda change: ",".join(change),
)
def test_a_manifest_that_was_changed_has_not_its_version(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    version = write_bundle(tmp_path).version
    edited(tmp_path, **change)
    with pytest.raises(BundleError) as caught:
        read_manifest(tmp_path)
    assert caught.value.expected.startswith("version ") and caught.value.found.startswith(
        version[:12]
    )
    assert caught.value.exit_code == 3


def test_the_version_covers_the_content_of_a_manifest_but_not_its_formatting(
    tmp_path: Path,
) -> None:
    sealed = write_bundle(tmp_path / "one")
    edited(tmp_path / "one")
    assert read_manifest(tmp_path / "one") == sealed
    assert write_bundle(tmp_path / "two", Walk(max_gap=9)).version != sealed.version


def test_the_seconds_that_training_took_are_not_in_the_version(tmp_path: Path) -> None:
    def record(seconds: float) -> Manifest:
        training = {
            "fingerprint": "f",
            "streams": 1,
            "observations": 9,
            "end_time_ms": 0,
            "seconds": seconds,
            "choice": f"ar ({seconds:.0f} s)",
        }
        return write_bundle(tmp_path, Walk(fields={"training": training}))

    assert record(1.0).version == record(2.0).version == read_manifest(tmp_path).version


def test_a_bundle_of_contract_1_keeps_its_rule() -> None:
    manifest = read_manifest(CONTRACT_1)
    assert manifest.contract == 1
    assert manifest.version == content_version(manifest.files)


@pytest.mark.parametrize("digits", [6, 12, 64])
def test_a_pinned_version_is_served_and_no_other(tmp_path: Path, digits: int) -> None:
    version = write_bundle(tmp_path).version
    settings = load_settings([f"--bundle.version={version[:digits]}"], {})
    assert load_runtime(tmp_path, trust=settings.bundle.trust).manifest.version == version
    wanted = ("0" if version[0] != "0" else "1") * digits
    with pytest.raises(BundleError) as caught:
        load_runtime(tmp_path, trust=Trust(version=wanted))
    assert wanted in caught.value.expected
    assert version[:6] in caught.value.found
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "flag",
    [
        "--bundle.version=abc",
        "--bundle.version=walk@123456",
        "--bundle.trusted_keys=abc",
        f"--bundle.trusted_keys={'0' * 63},{'1' * 64}",
        "--bundle.operators=If;Loop",
    ],
)
def test_settings_that_are_no_version_key_or_operator_are_refused(flag: str) -> None:
    with pytest.raises(SettingsError, match=flag.partition("=")[0]):
        load_settings([flag], {})


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """A private key file and its public key."""
    return tmp_path / "key.pem", new_key(tmp_path / "key.pem")


def test_a_signed_bundle_is_served(tmp_path: Path, key: tuple[Path, str]) -> None:
    write_bundle(tmp_path / "b")
    assert sign(tmp_path / "b" / MANIFEST, key[0]) == key[1]
    settings = load_settings([f"--bundle.trusted_keys={'0' * 64}, {key[1]}"], {})
    load_runtime(tmp_path / "b", trust=settings.bundle.trust)
    assert stat.S_IMODE(key[0].stat().st_mode) == 0o600


def refused(directory: Path, *keys: str) -> str:
    with pytest.raises(BundleError) as caught:
        load_runtime(directory, trust=Trust(keys=keys))
    assert caught.value.exit_code == 3
    return caught.value.found


def test_an_unsigned_bundle_is_refused_where_signers_are_named(
    tmp_path: Path, key: tuple[Path, str]
) -> None:
    write_bundle(tmp_path / "b")
    assert refused(tmp_path / "b", key[1]) == "an unsigned bundle"


def test_a_signer_that_is_not_trusted_is_refused(tmp_path: Path, key: tuple[Path, str]) -> None:
    write_bundle(tmp_path / "b")
    sign(tmp_path / "b" / MANIFEST, key[0])
    assert key[1] in refused(tmp_path / "b", "0" * 64)


def test_a_signature_is_for_one_manifest(tmp_path: Path, key: tuple[Path, str]) -> None:
    write_bundle(tmp_path / "signed")
    sign(tmp_path / "signed" / MANIFEST, key[0])
    write_bundle(tmp_path / "other", Walk(spread=9.0))
    shutil.copy(tmp_path / "signed" / SIGNATURE, tmp_path / "other" / SIGNATURE)
    assert "changed after" in refused(tmp_path / "other", key[1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"key": 3, "signature": "00"}',
        b'{"key": "00", "signature": "zz"}',
        b"[" * 4_000,
    ],
)
def test_a_signature_that_is_none_is_refused(
    tmp_path: Path, key: tuple[Path, str], content: bytes
) -> None:
    write_bundle(tmp_path / "b")
    (tmp_path / "b" / SIGNATURE).write_bytes(content)
    refused(tmp_path / "b", key[1])


def test_a_signature_by_name_alone_is_refused(tmp_path: Path, key: tuple[Path, str]) -> None:
    write_bundle(tmp_path / "b")
    for signature in ("", "00" * 64):
        (tmp_path / "b" / SIGNATURE).write_text(json.dumps({"key": key[1], "signature": signature}))
        assert "changed after" in refused(tmp_path / "b", key[1])


def test_the_commands_make_a_key_sign_and_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = write_bundle(tmp_path / "b").label
    assert run(["bundle", "keygen", str(tmp_path / "key.pem")]) == 0
    public = capsys.readouterr().out.strip()
    assert run(["bundle", "sign", str(tmp_path / "b"), "--key", str(tmp_path / "key.pem")]) == 0
    assert f"{label} in" in capsys.readouterr().out
    assert run(["bundle", "show", str(tmp_path / "b")]) == 0
    assert read_manifest(tmp_path / "b").version in capsys.readouterr().out
    load_runtime(tmp_path / "b", trust=Trust(keys=(public,)))
    assert run(["bundle", "keygen", str(tmp_path / "key.pem")]) == 2, "a key is never overwritten"
    assert (
        run(["bundle", "sign", str(tmp_path / "b"), "--key", str(tmp_path / "b" / MANIFEST)]) == 2
    )
    assert run(["bundle", "sign", str(tmp_path), "--key", str(tmp_path / "key.pem")]) == 3
