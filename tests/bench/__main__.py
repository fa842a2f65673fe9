"""`make bench`: everything, or what is named: `python -m tests.bench speed size`."""

import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.bench import checking, controlling, creating, looking, rotating, serving

Benchmark = Callable[[], Iterator[tuple[str, str, str]]]

BENCHMARKS: dict[str, Benchmark] = {
    "speed": serving.speed,
    "creating": creating.creating,
    "size": serving.size,
    "start": serving.start,
    "broken": serving.broken,
    "rotation": controlling.rotation,
    "rotating": rotating.rotating,
    "seven": controlling.seven,
    "check": checking.speed,
    "holding": controlling.holding,
    "doctor": looking.looking,
}


def main(names: list[str]) -> int:
    """Run benchmarks and print a table."""
    console = Console(width=140)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        console.print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 2
    table = Table("what", "measured", "wanted")
    failed = 0
    for name in names or BENCHMARKS:
        console.print(f"{name} …")
        try:
            for row in BENCHMARKS[name]():
                console.print(" ", *row)
                table.add_row(*row)
        except AssertionError as error:
            failed = 1
            table.add_row(name, f"FAILED: {error}", "")
    console.print(table)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
