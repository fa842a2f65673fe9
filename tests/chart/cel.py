"""CEL expressions, run by two libraries that share no code; a test that runs both trusts neither alone."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import cel
import cel.stdlib
import celpy
import celpy.adapter
import celpy.celtypes
import celpy.evaluation


class Condition(Protocol):
    """A compiled expression."""

    def __call__(self, obj: Mapping[str, Any], /, **others: Mapping[str, Any]) -> bool:
        """Evaluate it on `object`, and on other variables."""
        ...


@functools.cache
def _with_cel_rust(expression: str) -> Condition:
    program = cel.compile(expression)

    def holds(obj: Mapping[str, Any], /, **others: Mapping[str, Any]) -> bool:
        context = cel.Context(variables={"object": dict(obj), **others})
        cel.stdlib.add_stdlib_to_context(context)
        return _boolean(program.execute(context))

    return holds


def _differ(one: Any, other: Any) -> Any:
    """Compare as the CEL specification has it: values of two kinds differ. cel-python finds no overload for them."""
    try:
        return celpy.evaluation.bool_ne(one, other)
    except TypeError:
        return celpy.celtypes.BoolType(True)


@functools.cache
def _with_cel_python(expression: str) -> Condition:
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression), functions={"_!=_": _differ})

    def holds(obj: Mapping[str, Any], /, **others: Mapping[str, Any]) -> bool:
        variables = {"object": obj, **others}
        return _boolean(
            program.evaluate({name: celpy.adapter.json_to_cel(dict(each)) for name, each in variables.items()})
        )

    return holds


def _boolean(result: Any) -> bool:
    if isinstance(result, bool):
        return result
    if type(result).__name__ == "BoolType":
        return bool(result)
    raise TypeError(f"the expression gave a {type(result).__name__}, not a boolean")


ENGINES: Final[Mapping[str, Callable[[str], Condition]]] = {
    "common-expression-language": _with_cel_rust,
    "cel-python": _with_cel_python,
}
