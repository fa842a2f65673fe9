"""CEL as the API server runs it: matchConditions of webhooks and policies, and a policy's validations.

The library is ``common-expression-language`` (module ``cel``). Chosen over ``cel-python`` because its parser words a
syntax error as the API server does, it lists the names an expression refers to, it takes the string functions that
Kubernetes adds (``lowerAscii``, ``split``, …) and it is six times as fast. Both take ``(?i)`` in ``matches()``.
It is stricter than the API server in one point: an error in one step of ``exists()`` is not made good by a later
step that holds, so an expression that passes here passes there too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cel
import cel.stdlib

VARIABLES = frozenset({"object", "oldObject", "request", "authorizer"})
# Of the CEL standard definitions: the names of its types are identifiers.
TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
_MACRO_VARIABLE = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")


class CompileError(Exception):
    """An expression the API server refuses to store; `text` is what follows ``compilation failed: ``."""

    def __init__(self, expression: str, text: str) -> None:
        super().__init__(text)
        self.expression = expression
        self.text = text


class EvaluationError(Exception):
    """An expression that failed at run time; `text` is the API server's, which names the expression."""

    def __init__(self, expression: str, why: str) -> None:
        self.text = f"expression '{expression}' resulted in error: {why}"
        super().__init__(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOutcome:
    """What the conditions say of one request.

    Attributes:
        matches: Whether to call the webhook or go by the policy, when `errors` is empty.
        errors: One text for each expression that failed at run time. They count only when no expression is false,
            and what they then mean is `failurePolicy`'s to say.
    """

    matches: bool
    errors: tuple[str, ...] = ()


def check(expression: str, *, variables: frozenset[str] = VARIABLES) -> None:
    """Compile `expression` as the API server does when what holds it is written.

    Raises:
        CompileError: On a syntax error or on a name that is none of `variables`.
    """
    try:
        program = cel.compile(expression)
    except ValueError as error:
        raise CompileError(expression, _syntax_error(str(error))) from error
    blanked = _STRING.sub(lambda match: " " * len(match.group()), expression)
    known = variables | TYPES | set(_MACRO_VARIABLE.findall(blanked))
    for name in sorted(set(program.variables()) - known):
        found = re.search(rf"(?<![\w.]){re.escape(name)}\b", blanked)
        column = found.start() if found else 0
        raise CompileError(
            expression,
            f"ERROR: <input>:1:{column + 1}: undeclared reference to '{name}' (in container '')\n"
            f" | {expression}\n | {'.' * column}^",
        )


class Conditions:
    """Evaluates expressions, each compiled once."""

    def __init__(self) -> None:
        self._programs: dict[str, cel.Program] = {}

    def evaluate(self, expressions: Sequence[str], variables: Mapping[str, Any]) -> MatchOutcome:
        """Run all `expressions` on the same variables (plain JSON data).

        One that is false settles it, even beside one that fails; a result that is no boolean counts as true.
        """
        errors: list[str] = []
        for expression in expressions:
            try:
                result = self.run(expression, variables)
            except EvaluationError as error:
                errors.append(error.text)
            else:
                if result is False:
                    return MatchOutcome(matches=False)
        return MatchOutcome(matches=True, errors=tuple(errors))

    def run(self, expression: str, variables: Mapping[str, Any]) -> Any:
        """Run one expression on variables (plain JSON data).

        Raises:
            EvaluationError: It failed.
        """
        context = cel.Context(variables=dict(variables))
        cel.stdlib.add_stdlib_to_context(context)
        try:
            return self._program(expression).execute(context)
        except KeyError as error:
            raise EvaluationError(expression, f"no such key: {error.args[0]}") from error
        except TypeError as error:
            raise EvaluationError(expression, "no such overload") from error
        except (ValueError, RuntimeError, IndexError, ArithmeticError) as error:
            raise EvaluationError(expression, str(error)) from error

    def _program(self, expression: str) -> cel.Program:
        program = self._programs.get(expression)
        if program is None:
            program = self._programs[expression] = cel.compile(expression)
        return program


def _syntax_error(text: str) -> str:
    """Keep the parser's own lines, with the space before the bar that the API server prints."""
    start = text.find("ERROR: <input>")
    lines = (text[start:] if start >= 0 else text).splitlines()
    return "\n".join(f" {line}" if line.startswith("|") else line for line in lines)
