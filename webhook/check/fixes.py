"""Selection of the findings that can be fixed in a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from webhook.check.documents import Origin, Reader, Trouble
from webhook.check.findings import Report
from webhook.check.fixing import diff, fix
from webhook.check.run import Checker
from webhook.check.sources import STDIN_NAME, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFix:
    """What would be written to one file.

    Attributes:
        after: All of its new text.
        diff: The change.
        changed: How many objects it changes.
        troubles: Objects that have to be changed by hand.
    """

    file: str
    after: str = field(repr=False)
    diff: str = field(repr=False)
    changed: int
    troubles: tuple[Trouble, ...] = ()


def fixes(report: Report, texts: Sequence[Text], checker: Checker) -> Iterator[FileFix]:
    """Fix what can be, file by file.

    Args:
        report: What was found.
        texts: In what.
        checker: As the one that found it: it knows what to read, and where pod specs are.
    """
    wanted: dict[str, dict[Origin, tuple[str, ...]]] = {}
    lines: dict[Origin, int] = {}
    for finding in report.findings:
        if finding.fixable is not None:
            wanted.setdefault(finding.place.file, {})[finding.fixable] = finding.spec_path
            lines[finding.fixable] = finding.place.line
    for text in texts:
        objects = wanted.get(text.name)
        if not objects:
            continue
        by_hand = list(objects)
        after = text.text
        if text.name != STDIN_NAME and text.exact:
            after, by_hand = fix(text.text, list(objects.items()), Reader(checker.interest))
        yield FileFix(
            file=text.name,
            after=after,
            diff=diff(text.name, text.text, after),
            changed=len(objects) - len(by_hand),
            troubles=tuple(
                Trouble(
                    file=text.name,
                    line=lines[origin],
                    problem="cannot be changed in one place (an alias, a merge key, standard input); change it by hand",
                    fatal=False,
                )
                for origin in sorted(by_hand, key=lambda origin: lines[origin])
            ),
        )
