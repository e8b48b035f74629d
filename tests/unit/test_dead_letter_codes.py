"""The table of codes has every error of a dead letter, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from eddycast.service.dead_letters import codes

SERVICE = Path(codes.__file__).parents[1]
#: Position of the code among the arguments of calls that name one.
PLACES = {"Unreadable": 0, "of": 2, "letters_for": 3, "Damage": 3}


def named(tree: ast.AST) -> Iterator[str]:
    """Codes in calls; one that a variable holds is skipped."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and (place := PLACES.get(called(call.func))) is not None:
            yield from texts(call.args[place]) if len(call.args) > place else ()


def called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        is_letter = isinstance(function.value, ast.Name) and function.value.id == "DeadLetter"
        return function.attr if is_letter else ""
    return function.id if isinstance(function, ast.Name) else ""


def texts(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.IfExp):
        yield from texts(argument.body)
        yield from texts(argument.orelse)
    elif isinstance(argument, ast.Constant):
        yield str(argument.value)


def test_the_table_has_every_code_and_no_other() -> None:
    files = sorted(SERVICE.rglob("*.py"))
    assert {code for file in files for code in named(ast.parse(file.read_text()))} == set(
        codes.CODES
    )


def test_each_code_has_a_meaning_and_advice() -> None:
    assert all(code.meaning and code.action for code in codes.CODES.values())
    assert codes.CODES.keys() >= codes.CAUSED_BY_BUNDLE
