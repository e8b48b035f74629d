"""Reading of the settings, at the edge of a program. The only file that reads the environment.

A setting has one name in three places; later ones win:

    a TOML file     [kafka]                        named by --config or EDDYCAST_CONFIG
                    linger_ms = 5
    the environment EDDYCAST_KAFKA__LINGER_MS=5
    a flag          --kafka.linger_ms 5

pydantic-settings reads the three places. The results are merged in one flat table of dotted names
before validation, so that every error can name the place of the value. An unknown name is an error
in each place. An empty variable is ignored, and `none` means no value wherever that is the default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource, TomlConfigSettingsSource
from pydantic_settings import SettingsError as Unreadable

from eddycast.service.errors import SettingsError
from eddycast.service.settings.injected import is_injected
from eddycast.service.settings.settings import PREFIX, Settings, every_setting

CONFIG = "EDDYCAST_CONFIG"
#: Variable in which the script of a shell asks for completions, for a program named `eddycast`.
COMPLETING = "_EDDYCAST_COMPLETE"
#: The word that pydantic-settings reads as "no value".
#: It cannot be typed, so that a directory may be named null.
NO_WORD = "\0"


class _Given(NamedTuple):
    """A raw value, and the place where it was written."""

    value: Any
    place: str


class _Environment(EnvSettingsSource):
    """Source of settings that reads a mapping instead of the process's environment."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}


def load_settings(
    flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Settings:
    """Read settings from defaults, the file, the environment and `flags`; later ones win.

    `environment` defaults to the process's own.
    Raises SettingsError naming the place of the first mistake.
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


def is_completing() -> bool:
    """True if a shell runs this process for its completions."""
    return COMPLETING in os.environ


def asks_for_json(flags: Sequence[str], environment: Mapping[str, str] | None = None) -> bool:
    """True if flags or environment select JSON for the log;
    for errors in settings that cannot be read."""
    environment = os.environ if environment is None else environment
    words = [word for flag in flags for word in flag.split("=", 1)]
    named = [value for name, value in pairwise(words) if name == "--log.format"]
    return (named or [environment.get(f"{PREFIX}LOG__FORMAT", "")])[-1] == "json"


def _read_file(path: Path) -> dict[str, _Given]:
    try:
        with path.open("rb"):  # the library reads a missing file as an empty one
            content = TomlConfigSettingsSource(Settings, path).toml_data
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}", "name a TOML file with --config"
        ) from error
    return _known(
        {name: _Given(value, f"{name} in {path}") for name, value in _flat(content).items()}
    )


def _read_environment(variables: Mapping[str, str]) -> dict[str, _Given]:
    mine = {name: value for name, value in sorted(variables.items()) if _is_mine(name, value)}
    places = {
        name[len(PREFIX) :].lower().replace("__", "."): _Given(value, name)
        for name, value in mine.items()
    }
    _known(places)
    return {
        name: _Given(value, places[name].place)
        for name, value in _flat(_Environment(mine)()).items()
    }


def _is_mine(name: str, value: str) -> bool:
    """True if a variable sets something. An empty one does not,
    because templates leave out a value this way."""
    if not name.startswith(PREFIX) or name == CONFIG or not value:
        return False
    return not is_injected(name, value)


def _none_is_none(given: Mapping[str, _Given]) -> dict[str, _Given]:
    """Values with `none` (as in the help) and empty values replaced by None,
    wherever that is the default."""
    may_be_none = {setting.name for setting in every_setting() if setting.field.default is None}

    def meant(name: str, value: Any) -> Any:
        is_none = name in may_be_none and isinstance(value, str) and value.lower() in ("", "none")
        return None if is_none else value

    return {name: _Given(meant(name, value), place) for name, (value, place) in given.items()}


def _read_flags(flags: Sequence[str]) -> tuple[dict[str, _Given], str | None]:
    """Read `--name value` and `--name=value`; later flags win.
    Returns the flags and the value of --config."""
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
        flat |= (
            {f"{name}.{inner}": item for inner, item in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return flat


def _known(source: dict[str, _Given]) -> dict[str, _Given]:
    """`source`, unchanged. Raises SettingsError for an unknown name,
    with its place and similar names."""
    known = [setting.name for setting in every_setting()]
    for name, given in source.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
            action = (
                f"did you mean {' or '.join(near)}?"
                if near
                else "`eddycast serve --help` lists all settings"
            )
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
    place = given[name].place
    value = repr(given[name].value)
    secret = "@" in value or any(  # an address may have a password before it
        setting.name == name and SecretStr in get_args(setting.field.annotation)
        for setting in every_setting()
    )
    return SettingsError(f"{place}: {message}" + ("" if secret else f", not {value}"))


def default_variables(variables: Mapping[str, str]) -> None:
    """Set variables of this process that are read by libraries, unless they are set already."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)
