"""Every setting, once: one frozen object, read at the edge. The only file that looks at the environment.

A setting has one name in three places, the later ones winning:

    a TOML file     [kafka]                        named by --config or EDDYCAST_CONFIG
                    linger_ms = 5
    the environment EDDYCAST_KAFKA__LINGER_MS=5
    a flag          --kafka.linger_ms 5

pydantic-settings reads the three; what it read becomes one flat table of dotted names before anything is validated, so
that every complaint can name the place it came from. A name that no setting has is an error in each of them; an empty
variable is as good as none, and `none` stands for no value where that is the default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import (
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as Unreadable

from service.errors import SettingsError
from service.faults import PLACES
from service.injected import is_injected
from service.security_settings import SECRETS, KafkaSettings
from service.setting_groups import (
    BundleSettings,
    CommitSettings,
    EngineSettings,
    FaultSettings,
    Group,
    HttpSettings,
    InputSettings,
    LogSettings,
    StateSettings,
    TimeSettings,
    TopicSettings,
    require,
)

PREFIX = "EDDYCAST_"
CONFIG = "EDDYCAST_CONFIG"
#: The library reads one word of a flag as "no value"; this one cannot be typed, so that a directory may be named null.
NO_WORD = "\0"


class Waits(NamedTuple):
    """As set, or as follows from Kafka's own time-outs."""

    timeout_ms: int  # for any commit
    handover_ms: int  # for the one when partitions go to another member
    turn_ms: int  # from one poll to the next, about: what is left of its records is read again


class Settings(BaseSettings):
    """Everything that can be set. Immutable; each room is given only the values it needs.

    `load_settings` reads the three places; `Settings(...)` by itself takes what it is given and looks nowhere.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )

    bundle: BundleSettings = BundleSettings()
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    input: InputSettings = InputSettings()
    time: TimeSettings = TimeSettings()
    state: StateSettings = StateSettings()
    engine: EngineSettings = EngineSettings()
    commit: CommitSettings = CommitSettings()
    faults: FaultSettings = FaultSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    shutdown_timeout_s: PositiveFloat = Field(10.0, description="Time to finish after a first signal to stop")

    @property
    def changelog(self) -> str:
        """Name of the changelog topic."""
        return self.topics.changelog or f"{self.kafka.group}-changelog"

    @property
    def waits(self) -> Waits:
        """How long a commit may take."""
        commit, kafka = self.commit, self.kafka
        return Waits(
            commit.timeout_ms or kafka.transaction_timeout_ms * 2 // 3,
            commit.handover_ms or kafka.session_timeout_ms // 2,
            min(kafka.max_poll_interval_ms, kafka.transaction_timeout_ms) // 10,
        )

    @model_validator(mode="after")
    def _rooms_agree(self) -> Self:
        kafka, commit = self.kafka, self.commit
        for name, time_ms, limit_name, limit_ms in (
            ("interval_ms", commit.interval_ms, "transaction_timeout_ms", kafka.transaction_timeout_ms),
            ("timeout_ms", self.waits.timeout_ms, "transaction_timeout_ms", kafka.transaction_timeout_ms),
            ("timeout_ms", self.waits.timeout_ms, "max_poll_interval_ms", kafka.max_poll_interval_ms),
            ("handover_ms", self.waits.handover_ms, "session_timeout_ms", kafka.session_timeout_ms),
        ):
            require(time_ms < limit_ms, f"commit.{name} must be shorter than kafka.{limit_name}")
        require(
            self.changelog not in {self.topics.input, self.topics.output, self.topics.dead_letters},
            "topics.changelog must be a topic of its own",
        )
        require(
            self.faults.kill_at is None or self.faults.kill_at in PLACES,
            f"faults.kill_at must be one of {', '.join(PLACES)}",
        )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class Setting(NamedTuple):
    """One setting as people see it: `name` is dotted, the flag without its dashes."""

    name: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper().replace(".", "__")

    @property
    def default(self) -> str:
        value = self.field.default
        return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class _Given(NamedTuple):
    """A raw value, and the place a person wrote it."""

    value: Any
    place: str


def every_setting() -> Iterator[Setting]:
    """All settings in the order of this file."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            for inner, inner_field in field.annotation.model_fields.items():
                yield Setting(f"{name}.{inner}", inner_field)
        else:
            yield Setting(name, field)


class _Environment(EnvSettingsSource):
    """The variables of a mapping in place of the process's own."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}


def load_settings(flags: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from defaults, then the file, then the environment, then `flags` (the later win).

    `environment` is the process's own unless given. Raises SettingsError naming the place of the first mistake.
    """
    environment = os.environ if environment is None else environment
    from_flags, config = _read_flags(flags)
    config = config or environment.get(CONFIG)
    from_file = _read_file(Path(config)) if config else {}
    given = _none_is_none(from_file | _read_environment(environment) | from_flags)
    try:
        return Settings(**_nested(given))
    except ValidationError as error:
        raise _translated(error, given) from error


def asks_for_json(flags: Sequence[str], environment: Mapping[str, str] | None = None) -> bool:
    """Whether flags or environment want the log as JSON, for an error in settings that cannot be read."""
    environment = os.environ if environment is None else environment
    words = [word for flag in flags for word in flag.split("=", 1)]
    named = [value for name, value in pairwise(words) if name == "--log.format"]
    return (named or [environment.get(f"{PREFIX}LOG__FORMAT", "")])[-1] == "json"


def _read_file(path: Path) -> dict[str, _Given]:
    try:
        with path.open("rb"):  # a file that is not there is not read as an empty one
            content = TomlConfigSettingsSource(Settings, path).toml_data
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", "name a TOML file with --config") from error
    return _known({name: _Given(value, f"{name} in {path}") for name, value in _flat(content).items()})


def _read_environment(variables: Mapping[str, str]) -> dict[str, _Given]:
    mine = {name: value for name, value in sorted(variables.items()) if _is_mine(name, value)}
    places = {name[len(PREFIX) :].lower().replace("__", "."): _Given(value, name) for name, value in mine.items()}
    _known(places)
    return {name: _Given(value, places[name].place) for name, value in _flat(_Environment(mine)()).items()}


def _is_mine(name: str, value: str) -> bool:
    """True if a variable sets something. An empty one does not: templates leave out a value like this."""
    if not name.startswith(PREFIX) or name == CONFIG or not value:
        return False
    return not is_injected(name, value)


def _none_is_none(given: Mapping[str, _Given]) -> dict[str, _Given]:
    """`none`, as the help shows it, and nothing at all mean none wherever that is the default."""
    may_be_none = {setting.name for setting in every_setting() if setting.field.default is None}

    def meant(name: str, value: Any) -> Any:
        is_none = name in may_be_none and isinstance(value, str) and value.lower() in ("", "none")
        return None if is_none else value

    return {name: _Given(meant(name, value), place) for name, (value, place) in given.items()}


def _read_flags(flags: Sequence[str]) -> tuple[dict[str, _Given], str | None]:
    """`--name value` and `--name=value`; the last of a name wins. Returns the flags and the value of --config."""
    words, config, rest = list[str](), None, iter(flags)
    for flag in rest:
        if not flag.startswith("--"):
            raise SettingsError(f"{flag!r} is not a flag", "flags look like --kafka.group NAME")
        name, equals, value = flag[2:].partition("=")
        if not equals and (value := next(rest, "--")).startswith("--"):
            raise SettingsError(f"--{name} has no value", f"write --{name} VALUE or --{name}=VALUE")
        if name == "config":
            config = value
        else:
            _known({name: _Given(value, f"--{name}")})
            words.append(f"--{name}={value}")
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            Settings, cli_parse_args=words, cli_exit_on_error=False, cli_parse_none_str=NO_WORD
        )
    except Unreadable as error:
        raise SettingsError(str(error), "`eddycast serve --help` lists all settings") from error
    return {name: _Given(value, f"--{name}") for name, value in _flat(source()).items()}, config


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """`{"kafka": {"group": "g"}}` as `{"kafka.group": "g"}`."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= {f"{name}.{inner}": item for inner, item in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _known(source: dict[str, _Given]) -> dict[str, _Given]:
    """The same again. Raises SettingsError for a name that no setting has, with the place and what is near."""
    known = [setting.name for setting in every_setting()]
    for name, given in source.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
            action = f"did you mean {' or '.join(near)}?" if near else "`eddycast serve --help` lists all settings"
            raise SettingsError(f"{given.place}: there is no setting {name!r}", action)
    return source


def _nested(given: Mapping[str, _Given]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, (value, _) in given.items():
        *groups, last = name.split(".")
        level = nested
        for group in groups:
            level = level.setdefault(group, {})
        level[last] = value
    return nested


def _translated(error: ValidationError, given: Mapping[str, _Given]) -> SettingsError:
    problem = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if name not in given:  # a check across settings: its message names them
        return SettingsError(message, "change one of them")
    place, secret = given[name].place, name.removeprefix("kafka.") in SECRETS
    return SettingsError(f"{place}: {message}" + ("" if secret else f", not {given[name].value!r}"))
