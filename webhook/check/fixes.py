"""Selection of the findings that can be fixed in a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from webhook.check.documents import Reader
from webhook.check.fixing import PodSpec, diff, fix
from webhook.check.manifests import Trouble
from webhook.check.report import Report
from webhook.check.run import Checker
from webhook.check.sources import STDIN_NAME, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFix:
    """What would be written to one file.

    Attributes:
        after: All of its new text.
        diff: The change.
        changed: How many pod specs it changes.
        troubles: Those that have to be changed by hand.
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
    wanted: dict[str, dict[PodSpec, int]] = {}  # with the line
    for finding in report.findings:
        if finding.fixable is not None:
            wanted.setdefault(finding.place.file, {})[finding.fixable, finding.spec_path] = finding.place.line
    for text in texts:
        lines = wanted.get(text.name)
        if not lines:
            continue
        by_hand = list(lines)
        after = text.text
        if text.name != STDIN_NAME and text.exact:
            after, by_hand = fix(text.text, lines, Reader(checker.interest))
        yield FileFix(
            file=text.name,
            after=after,
            diff=diff(text.name, text.text, after),
            changed=len(lines) - len(by_hand),
            troubles=tuple(
                Trouble(
                    file=text.name,
                    line=line,
                    problem="cannot be changed in one place (an alias, a merge key, standard input); change it by hand",
                    fatal=False,
                )
                for line in sorted(lines[each] for each in by_hand)
            ),
        )
