"""Dataclasses as options of a command: `@expand_options` replaces a parameter annotated with a
dataclass by its fields.

    @dataclass(frozen=True)
    class Fit:
        epochs: Annotated[int, Option("Maximum number of epochs.", min=1)] = 10

    @expand_options
    def train(out: Path, fit: Annotated[Fit, "Fitting"]) -> None:  # train OUT --epochs 10
        ...

The text in the annotation is the title of the options in --help.
Fields without an `Option` keep their defaults.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from eddycast.service.settings.cli_option import Option, listed


@dataclass(frozen=True)
class _Group:
    """A dataclass parameter of a command, and its options."""

    made: type[Any]
    title: str | None
    options: dict[str, Option]

    def parameters(self) -> list[inspect.Parameter]:
        """The options as function parameters for typer."""
        hints, defaults = (
            get_type_hints(self.made),
            {field.name: field.default for field in fields(self.made)},
        )
        return [
            _parameter(name, option, hints[name], defaults[name], self.title)
            for name, option in self.options.items()
        ]

    def take(self, given: dict[str, Any]) -> Any:
        """The dataclass made from its options, which are removed from `given`."""
        hints = get_type_hints(self.made)
        values: dict[str, Any] = {}
        for name, option in self.options.items():
            value, parse = given.pop(name), _parser(option, hints[name])
            if parse is None:
                values[name] = value
            elif value is not None:
                values[name] = parse(value)
        return self.made(**values)


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its dataclass parameters replaced by their options,
    which follow its own options."""
    own = inspect.signature(command, eval_str=True).parameters
    groups = {
        name: group for name, each in own.items() if (group := _group(each.annotation)) is not None
    }

    @wraps(command)
    def expanded(**given: Any) -> None:
        made = {name: group.take(given) for name, group in groups.items()}
        command(**made, **given)

    shown = [parameter for name, parameter in own.items() if name not in groups]
    shown += [parameter for group in groups.values() for parameter in group.parameters()]
    expanded.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown]
    )
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return expanded


def _group(annotation: Any) -> _Group | None:
    """The group of a parameter annotated with a dataclass, with or without a title;
    None for other parameters."""
    made, *notes = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if not is_dataclass(made) or not isinstance(made, type):
        return None
    title = next((note for note in notes if isinstance(note, str)), None)
    hints = get_type_hints(made, include_extras=True)
    described = {field.name: _option(hints[field.name]) for field in fields(made)}
    return _Group(
        made, title, {name: option for name, option in described.items() if option is not None}
    )


def _option(hint: Any) -> Option | None:
    return next(
        (note for note in getattr(hint, "__metadata__", ()) if isinstance(note, Option)), None
    )


def _parser(option: Option, hint: Any) -> Callable[[str], Any] | None:
    is_list = tuple[str, ...] in (hint, *get_args(hint))
    return option.parse or (listed if is_list else None)


def _parameter(
    name: str, option: Option, hint: Any, default: Any, title: str | None
) -> inspect.Parameter:
    shown: bool | str = option.shown_default or True
    # None unless given, so that the dataclass's default applies
    if _parser(option, hint) is not None:
        if option.shown_default is None and isinstance(default, tuple) and default:
            shown = ",".join(map(str, default))
        hint, default = str | None, None
    info = typer.Option(
        *option.flags, help=option.help, min=option.min, show_default=shown, rich_help_panel=title
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, info]
    )
