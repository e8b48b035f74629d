"""`eddycast feed` refuses what cannot work, in one line each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eddycast.service.__main__ import run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kafka"], "no topic is named (set feed.topic"),
        (["kafka", "--feed.topic", "observations"], "feed.topic and topics.input are both"),
        (["kafka", "--feed.topic", "a", "--input.value", "/a, /b", "--channels", "3"], "3 channel"),
        (["kafka", "--feed.topic", "a", "--feed.cluster", "/no/file.toml"], "/no/file.toml"),
        (["mqtt"], "no MQTT topic is named (set mqtt.topics"),
        (["mqtt", "--mqtt.topics", "a/#/b"], "'a/#/b' is no topic: + is a whole level"),
        (["mqtt", "--mqtt.topics", "a/b+"], "'a/b+' is no topic"),
        (["mqtt", "--mqtt.topics", "a", "--mqtt.ssl_cafile", "x"], "no effect without mqtt.tls"),
        (["mqtt", "--mqtt.topics", "a", "--mqtt.password", "x"], "mqtt.password needs mqtt.user"),
        (["http", "--feed.token", "12345678", "--feed.token_file", "x"], "set one of them"),
        (["http", "--feed.ssl_keyfile", "x"], "feed.ssl_keyfile needs feed.ssl_certfile"),
        (["stdin", "--input.value", "value"], "input.value"),
    ],
)
def test_what_cannot_work_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["feed", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("words", "packages", "extra"),
    [
        (["mqtt", "--mqtt.topics", "a"], ["paho"], "eddycast[mqtt]"),
        (["http"], ["uvicorn", "starlette"], "eddycast[http]"),
    ],
)
def test_a_missing_extra_is_named(
    words: list[str],
    packages: list[str],
    extra: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in packages or name.startswith(
            ("eddycast.service.bridges", "eddycast.service.web")
        ):
            monkeypatch.delitem(sys.modules, name)
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    assert run(["feed", *words]) == 2
    assert extra in capsys.readouterr().err


def test_a_cluster_is_described_by_a_file_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.toml"
    file.write_text('[kafka]\nbootstrap_server = "a:1"\n')
    words = ["kafka", "--feed.topic", "observations", "--feed.cluster", str(file)]
    assert run(["feed", *words]) == 2
    assert "did you mean kafka.bootstrap_servers" in capsys.readouterr().err
