"""Settings: one name in three places, one meaning; a mistake is named where it was made."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from eddycast.service.errors import SettingsError
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Setting, Settings, every_setting

words = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12).filter(
    lambda word: word.lower() != "none"
)
counts = st.integers(1, 10**9)
#: A strategy for some settings of every type, none of which can contradict another.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bundle.directory": words,
    "bundle.wait_s": st.floats(0, 1e6),
    "kafka.bootstrap_servers": words,
    "kafka.instance_id": words,
    "kafka.start_at": st.sampled_from(["earliest", "latest"]),
    "kafka.max_poll_records": counts,
    "topics.create": st.booleans(),
    "topics.replication": counts,
    "time.max_gap": st.integers(1, 10_000),
    "time.late": st.sampled_from(["drop", "dead_letter"]),
    "engine.max_batch": counts,
    "http.port": st.integers(0, 65_535),
    "log.format": st.sampled_from(["auto", "json", "console"]),
    "shutdown_timeout_s": st.floats(1e-3, 1e6),
}
choices = st.fixed_dictionaries({}, optional=VALUES)


def text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_toml(chosen: dict[str, Any]) -> str:
    top = [f"{name} = {json.dumps(value)}" for name, value in chosen.items() if "." not in name]
    dotted = [f"{name} = {json.dumps(value)}" for name, value in chosen.items() if "." in name]
    return "\n".join(top + dotted)


@settings(max_examples=60, deadline=None)
@given(chosen=choices)
def test_the_three_places_mean_the_same(
    chosen: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("settings") / "eddycast.toml"
    file.write_text(as_toml(chosen))
    variables = {setting.name: setting.variable for setting in every_setting()}

    from_file = load_settings(["--config", str(file)], {})
    from_environment = load_settings(
        [], {variables[name]: text(value) for name, value in chosen.items()}
    )
    from_flags = load_settings([f"--{name}={text(value)}" for name, value in chosen.items()], {})

    assert from_file == from_environment == from_flags
    for name, value in chosen.items():
        found: Any = from_file
        for part in name.split("."):
            found = getattr(found, part)
        assert found == (Path(value) if name == "bundle.directory" else value)


@pytest.mark.parametrize("word", ["null", "None", "none", "true", "1"])
def test_a_word_that_means_something_elsewhere_is_a_name_like_any_other(word: str) -> None:
    assert (
        load_settings([f"--kafka.group={word}", f"--bundle.directory={word}"], {}).kafka.group
        == word
    )
    assert load_settings([f"--bundle.directory={word}"], {}) == load_settings(
        [], {"EDDYCAST_BUNDLE__DIRECTORY": word}
    )


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "eddycast.toml"
    file.write_text('[kafka]\ngroup = "file"\nlinger_ms = 1\nstart_at = "latest"')
    environment = {
        "EDDYCAST_CONFIG": str(file),
        "EDDYCAST_KAFKA__GROUP": "environment",
        "EDDYCAST_KAFKA__LINGER_MS": "2",
    }
    kafka = load_settings(["--kafka.group", "flag"], environment).kafka
    assert (kafka.group, kafka.linger_ms, kafka.start_at) == ("flag", 2, "latest")


def test_nothing_given_is_the_defaults() -> None:
    assert load_settings([], {"PATH": "/bin"}) == Settings()


def test_the_table_has_every_setting_once() -> None:
    flat = [
        f"{group}.{name}" if isinstance(inner, dict) else group
        for group, inner in Settings().model_dump().items()
        for name in (inner if isinstance(inner, dict) else [group])
    ]
    assert [setting.name for setting in every_setting()] == flat
    assert all(setting.field.description for setting in every_setting())


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings([], {}).kafka.group = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("flags", "environment", "complaint"),
    [
        (["--kafka.grup=a"], {}, r"--kafka\.grup.*did you mean kafka\.group"),
        (["--nothing=a"], {}, r"--nothing.*eddycast serve --help"),
        (["--kafka=a"], {}, r"no setting 'kafka'"),
        ([], {"EDDYCAST_KAFKA__GRUOP": "a"}, r"EDDYCAST_KAFKA__GRUOP.*did you mean kafka\.group"),
        ([], {"EDDYCAST_KAFKA_GROUP": "a"}, r"EDDYCAST_KAFKA_GROUP.*did you mean kafka\.group"),
        ([], {"EDDYCAST_": "a"}, r"EDDYCAST_: there is no setting"),
        (["kafka.group=a"], {}, r"'kafka\.group=a' is not a flag"),
        (["--kafka.group"], {}, r"--kafka\.group has no value"),
        (["--kafka.group", "--http.port=1"], {}, r"--kafka\.group has no value"),
        (["--config=/nowhere.toml"], {}, r"/nowhere\.toml cannot be read"),
        (["--http.port=70000"], {}, r"--http\.port:.*65535.*not '70000'"),
        ([], {"EDDYCAST_TOPICS__CREATE": "perhaps"}, r"EDDYCAST_TOPICS__CREATE:.*not 'perhaps'"),
        (["--shutdown_timeout_s=nan"], {}, r"--shutdown_timeout_s"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    flags: list[str], environment: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load_settings(flags, environment)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[kafka]\ngrup = 'a'", r"kafka\.grup in .*toml: there is no setting.*kafka\.group"),
        ("[kafka.group]\nname = 'a'", r"kafka\.group in .*toml:"),
        ("kafka = 3", r"kafka in .*toml: there is no setting"),
        ("[[[", r"cannot be read"),
        ("[http]\nport = 'x'", r"http\.port in .*toml:"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(
    content: str, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=complaint):
        load_settings(["--config", str(file)], {})


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--kafka.heartbeat_interval_ms=4000"], "kafka.session_timeout_ms"),
        (["--kafka.delivery_timeout_ms=20000"], "kafka.transaction_timeout_ms"),
        (["--kafka.request_timeout_ms=12000"], "kafka.delivery_timeout_ms"),
        (["--kafka.security_protocol=SASL_SSL"], "kafka.sasl_username"),
        (["--topics.dead_letters=forecasts"], "topics.dead_letters"),
        (["--topics.changelog=forecasts"], "topics.changelog"),
        (["--kafka.group=g", "--topics.output=g-changelog"], "topics.changelog"),
        (["--commit.interval_ms=15000"], "commit.interval_ms.*kafka.transaction_timeout_ms"),
        (["--commit.timeout_ms=15000"], "commit.timeout_ms.*kafka.transaction_timeout_ms"),
        (["--kafka.max_poll_interval_ms=10000"], "commit.timeout_ms.*kafka.max_poll_interval_ms"),
        (["--commit.handover_ms=10000"], "commit.handover_ms.*kafka.session_timeout_ms"),
        (["--time.max_gap=10001"], "time.max_gap.*less than or equal to 10000"),
        (["--output.format=avro"], "output.format.*schema_registry.url"),
        (["--schema_registry.username=ann"], "schema_registry.username and its password"),
        (["--schema_registry.password_file=p"], "schema_registry.username and its password"),
        (["--schema_registry.url=registry:8081"], "schema_registry.url: .*pattern"),
        (["--faults.kill_at=commit.8"], "faults.kill_at must be one of commit.1"),
    ],
)
def test_settings_that_contradict_each_other_are_both_named(flags: list[str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_settings(flags, {})


def test_how_long_a_commit_may_take_follows_from_kafkas_times_unless_it_is_set() -> None:
    given = load_settings(
        ["--kafka.transaction_timeout_ms=30000", "--kafka.session_timeout_ms=9000"], {}
    )
    assert given.waits == (20.0, 4.5, 8.0, 3.0, 60.0)
    given = load_settings(["--commit.timeout_ms=3000", "--commit.handover_ms=2000"], {})
    assert given.waits == (3.0, 2.0, 8.0, 1.5, 30.0)


def test_the_changelog_is_named_after_the_group_unless_it_is_set() -> None:
    assert load_settings(["--kafka.group=north"], {}).changelog == "north-changelog"
    assert load_settings(["--kafka.group=north", "--topics.changelog=rows"], {}).changelog == "rows"


@pytest.mark.parametrize("secret", ["sasl_password", "sasl_oauth_client_secret", "ssl_password"])
def test_a_secret_is_never_shown(secret: str) -> None:
    given: dict[str, Any] = {secret: SecretStr("hunter2")}
    shown = repr(KafkaSettings.model_construct(**given))
    assert secret in shown and "hunter2" not in shown


@pytest.mark.parametrize(
    "name",
    [setting.name for setting in every_setting() if "SecretStr" in str(setting.field.annotation)],
)
def test_a_wrong_secret_is_not_repeated(name: str, tmp_path: Path) -> None:
    file, (group, secret) = tmp_path / "wrong.toml", name.split(".")
    file.write_text(f"[{group}]\n{secret} = 777888")
    with pytest.raises(SettingsError) as error:
        load_settings(["--config", str(file)], {})
    assert "777888" not in f"{error.value} {error.value.__cause__}"


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match="schema_registry") as error:
        load_settings(["--schema_registry.url=http://joe:hunter2@registry:8081"], {})
    assert "hunter2" not in f"{error.value}"


#: Variables that Kubernetes injects for Services called `eddycast` and `eddycast-kafka`.
INJECTED = {
    "EDDYCAST_PORT": "tcp://10.0.12.7:9464",
    "EDDYCAST_PORT_9464_TCP": "tcp://10.0.12.7:9464",
    "EDDYCAST_PORT_9464_TCP_PROTO": "tcp",
    "EDDYCAST_PORT_9464_TCP_PORT": "9464",
    "EDDYCAST_PORT_9464_TCP_ADDR": "10.0.12.7",
    "EDDYCAST_SERVICE_HOST": "10.0.12.7",
    "EDDYCAST_SERVICE_PORT": "9464",
    "EDDYCAST_SERVICE_PORT_HTTP": "9464",
    "EDDYCAST_SERVICE_PORT_HTTP_METRICS": "9464",
    "EDDYCAST_KAFKA_PORT": "tcp://[fd00::7]:9092",
    "EDDYCAST_KAFKA_SERVICE_HOST": "fd00::7",
    "EDDYCAST_KAFKA_SERVICE_PORT": "9092",
    "EDDYCAST_KAFKA_SERVICE_PORT_TLS": "9093",
    "EDDYCAST_KAFKA_PORT_9092_TCP_ADDR": "fd00::7",
    "EDDYCAST_DNS_PORT_53_UDP": "udp://10.0.0.1:53",
}


def test_what_kubernetes_puts_there_for_a_service_is_ignored() -> None:
    assert load_settings([], INJECTED | {"EDDYCAST_HTTP__PORT": "9000"}) == load_settings(
        ["--http.port=9000"], {}
    )
    for name, value in INJECTED.items():
        assert load_settings([], {name: value}) == Settings(), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDDYCAST_PORT", "9464"),
        ("EDDYCAST_HTTP_PORT", "9464"),
        ("EDDYCAST_PORT", "tcp://metrics"),
        ("EDDYCAST_KAFKA_SERVICE_HOST", "kafka"),
        ("EDDYCAST_SERVICE_PORT", "http"),
        ("EDDYCAST_PORT_9464_TCP_PROTO", "http"),
        ("EDDYCAST_TIME_MAX_GAP", "3"),
        ("EDDYCAST_KAFKA__PORT", "tcp://10.0.12.7:9092"),
        ("EDDYCAST_KAFKA__SERVICE_HOST", "10.0.12.7"),
    ],
)
def test_a_mistyped_setting_is_not_taken_for_one_of_them(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: there is no setting"):
        load_settings([], {name: value})


def test_a_setting_of_that_form_is_wrong_and_not_ignored() -> None:
    with pytest.raises(SettingsError, match="EDDYCAST_HTTP__PORT"):
        load_settings([], {"EDDYCAST_HTTP__PORT": "tcp://10.0.12.7:80"})


@pytest.mark.parametrize("setting", list(every_setting()), ids=lambda setting: setting.name)
def test_an_empty_variable_is_none_at_all(setting: Setting, tmp_path: Path) -> None:
    assert load_settings([], {setting.variable: ""}) == Settings()
    file = tmp_path / "eddycast.toml"
    file.write_text("kafka.instance_id = 'left'")
    assert (
        load_settings(["--config", str(file)], {setting.variable: ""}).kafka.instance_id == "left"
    )


@pytest.mark.parametrize(
    "setting", [s for s in every_setting() if s.default == "none"], ids=lambda s: s.name
)
def test_none_is_what_the_help_says_it_is(setting: Setting) -> None:
    assert load_settings([], {setting.variable: "none"}) == Settings()
    assert (
        load_settings([f"--{setting.name}=none"], {})
        == load_settings([f"--{setting.name}="], {})
        == Settings()
    )


LOGIN = ["--kafka.security_protocol=SASL_SSL", "--kafka.sasl_username=u", "--kafka.sasl_password=p"]
TOKEN = ["--kafka.security_protocol=SASL_SSL", "--kafka.sasl_mechanism=OAUTHBEARER"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (
            ["--kafka.sasl_username=u", "--kafka.sasl_password=p"],
            "sasl_password has no effect .* PLAINTEXT",
        ),
        (
            ["--kafka.security_protocol=SSL", "--kafka.sasl_username=u"],
            "sasl_username has no effect .* SSL",
        ),
        (["--kafka.sasl_kerberos_service_name=kafka"], "sasl_kerberos_service_name has no effect"),
        (["--kafka.ssl_cafile=ca.pem"], "ssl_cafile has no effect .* PLAINTEXT"),
        (
            [*LOGIN, "--kafka.sasl_password_file=f"],
            "kafka.sasl_password and kafka.sasl_password_file",
        ),
        (
            [*LOGIN, "--kafka.sasl_oauth_token_file=f"],
            "sasl_oauth_token_file has no effect .* PLAIN",
        ),
        ([*TOKEN, "--kafka.sasl_username=u"], "sasl_username has no effect .* OAUTHBEARER"),
        (TOKEN, "needs kafka.sasl_oauth_token_file, or"),
        ([*TOKEN, "--kafka.sasl_oauth_endpoint=https://a"], "with its client id and secret"),
        (
            [*TOKEN, "--kafka.sasl_oauth_token_file=f", "--kafka.sasl_oauth_endpoint=https://a"],
            "needs kafka.sasl_oauth_token_file, or",
        ),
        (
            [
                *TOKEN,
                "--kafka.sasl_oauth_endpoint=ftp://a",
                "--kafka.sasl_oauth_client_id=c",
                "--kafka.sasl_oauth_client_secret=s",
            ],
            "must be an https URL",
        ),
        (
            ["--kafka.security_protocol=SASL_SSL", "--kafka.sasl_username=u"],
            "needs .*sasl_password",
        ),
        (
            ["--kafka.security_protocol=SSL", "--kafka.ssl_keyfile=k"],
            "ssl_keyfile needs kafka.ssl_certfile",
        ),
        (
            ["--kafka.security_protocol=SSL", "--kafka.ssl_password=s"],
            "ssl_password needs kafka.ssl_certfile",
        ),
    ],
)
def test_what_would_protect_nothing_is_refused(flags: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load_settings(flags, {})


@pytest.mark.parametrize(
    ("flags", "risks"),
    [
        ([], []),
        (LOGIN, []),
        (["--kafka.security_protocol=SSL"], []),
        (
            [*LOGIN, "--kafka.security_protocol=SASL_PLAINTEXT"],
            ["the password crosses the network in the clear"],
        ),
        (
            [
                *LOGIN,
                "--kafka.security_protocol=SASL_PLAINTEXT",
                "--kafka.sasl_mechanism=SCRAM-SHA-256",
            ],
            ["records and forecasts cross the network in the clear"],
        ),
        (
            [*LOGIN, "--kafka.ssl_check_hostname=false"],
            ["any server with a certificate of a trusted authority"],
        ),
    ],
)
def test_what_may_be_regretted_is_known(flags: list[str], risks: list[str]) -> None:
    found = list(load_settings(flags, {}).kafka.risks())
    assert len(found) == len(risks)
    assert all(
        risk.what.startswith(begin) and risk.action
        for risk, begin in zip(found, risks, strict=True)
    )
