"""How far a pull secret covers what is selected."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core import coverage, images
from webhook.core.coverage import Coverage, PatternCoverage
from webhook.core.hostmatch import glob_matches, globs_meet
from webhook.core.keyring import DOCKER_CONFIG_JSON, Keyring
from webhook.core.patterns import ImagePatterns, InvalidPattern

GOOD = {"username": "u", "password": "p"}
EMPTY_TOKEN = {"username": "u", "password": ""}


def keyring(*good: str, **others: Any) -> Keyring:
    auths = dict.fromkeys(good, GOOD) | others
    return Keyring.from_secret(DOCKER_CONFIG_JSON, json.dumps({"auths": auths}).encode())


def covered(keys: Keyring, *include: str, exclude: tuple[str, ...] = ()) -> list[Coverage]:
    return [part.coverage for part in coverage.cover(keys, ImagePatterns(include=include, exclude=exclude))]


@pytest.mark.parametrize(
    ("entry", "pattern", "expected"),
    [
        ("ghcr.io", "ghcr.io/*", "all"),
        ("https://ghcr.io", "ghcr.io/*", "all"),
        ("https://ghcr.io/v2/", "ghcr.io/*", "all"),
        ("ghcr.io/", "ghcr.io/*", "all"),
        ("ghcr.io", "GHCR.io:443/*", "all"),
        ("*.io", "ghcr.io/*", "all"),
        ("ghcr.io/my-org/", "ghcr.io/my-org/*", "all"),
        ("ghcr.io/my-org", "ghcr.io/my-org/*", "all"),
        ("ghcr.io/my", "ghcr.io/my-org/*", "all"),
        ("ghcr.io/my-org/app", "ghcr.io/my-org/app", "all"),
        ("r.example.com:5000", "r.example.com:5000/*", "all"),
        ("[::1]:5000", "[::1]:5000/*", "all"),
        ("localhost", "localhost/*", "all"),
        ("index.docker.io", "localhost/*", "all"),
        ("ghcr.io/my-org/", "ghcr.io/*", "some"),
        ("ghcr.io/my-org/", "ghcr.io/*/app", "some"),
        ("ghcr.io/my-org/app/", "ghcr.io/my-org/app", "none"),
        ("GHCR.IO", "ghcr.io/*", "some"),
        ("ghcr.io:443", "ghcr.io/*", "some"),
        ("ghcr.io:00443", "ghcr.io/*", "some"),
        ("eu.pkg.dev", "*.pkg.dev/*", "some"),
        ("*.pkg.dev", "*.pkg.dev/*", "some"),
        ("eu-*.pkg.dev", "*-docker.pkg.dev/*", "some"),
        ("quay.io", "ghcr.io/*", "none"),
        ("ghcr.io:5000", "ghcr.io/*", "none"),
        ("*.ghcr.io", "ghcr.io/*", "none"),
        ("ghcr.io/other/", "ghcr.io/my-org/*", "none"),
        ("ghcr.io/My-org/", "ghcr.io/my-org/*", "none"),
        ("ghcr.io/*", "ghcr.io/*", "none"),  # a star in an entry's path is no glob
        ("a.b.pkg.dev", "*-docker.pkg.dev/*", "none"),
        ("https://index.docker.io/v1/", "ghcr.io/*", "none"),
    ],
)
def test_an_entry_covers_a_pattern(entry: str, pattern: str, expected: str) -> None:
    assert covered(keyring(entry), pattern) == [Coverage(expected)]


def test_each_pattern_has_an_answer_of_its_own() -> None:
    parts = coverage.cover(
        keyring("ghcr.io/a/", **{"quay.io": EMPTY_TOKEN}),
        ImagePatterns(include=("ghcr.io/a/*", "ghcr.io/b/*", "ghcr.io/*", "quay.io/*")),
    )
    assert parts == (
        PatternCoverage(pattern="ghcr.io/a/*", coverage=Coverage.ALL),
        PatternCoverage(pattern="ghcr.io/b/*", coverage=Coverage.NONE),
        PatternCoverage(pattern="ghcr.io/*", coverage=Coverage.SOME),
        PatternCoverage(pattern="quay.io/*", coverage=Coverage.NONE, half_filled=True),
    )
    assert coverage.overall(parts) is Coverage.SOME
    assert coverage.overall(parts[:1]) is Coverage.ALL
    assert coverage.overall(parts[1::2]) is Coverage.NONE


def test_two_organisations_with_a_token_each_are_covered_by_their_entries() -> None:
    assert covered(keyring("ghcr.io/a/", "ghcr.io/b/"), "ghcr.io/a/*", "ghcr.io/b/*") == [Coverage.ALL, Coverage.ALL]


def test_half_a_credential_covers_nothing() -> None:
    for half in ({}, EMPTY_TOKEN, {"password": "p"}, {"auth": "dTo="}, {"auth": "OnA="}):
        (part,) = coverage.cover(keyring(**{"ghcr.io": half}), ImagePatterns(include=("ghcr.io/*",)))
        assert part == PatternCoverage(pattern="ghcr.io/*", coverage=Coverage.NONE, half_filled=True)


def test_what_is_excluded_counts_for_nothing() -> None:
    only_public = keyring("ghcr.io/public/")
    assert covered(only_public, "ghcr.io/*", exclude=("ghcr.io/public/*",)) == [Coverage.NONE]
    assert covered(only_public, "ghcr.io/*", exclude=("ghcr.io/public/a*",)) == [Coverage.SOME]
    assert covered(only_public, "ghcr.io/public/a*", exclude=("ghcr.io/public/*",)) == []
    assert covered(keyring("eu.pkg.dev"), "*.pkg.dev/*", exclude=("eu.pkg.dev/*",)) == [Coverage.NONE]
    assert covered(keyring("ghcr.io"), "ghcr.io/*", "quay.io/*", exclude=("*.io/*",)) == []
    assert coverage.overall(()) is Coverage.ALL


hosts = st.sampled_from(
    ["g.io", "G.io", "g.io:443", "g.io:0443", "g.io:5", "x.g.io", "q.io", "localhost", "index.docker.io"]
)
globs = hosts | st.text("g*.ioq:5", min_size=1, max_size=6)
paths = st.text("ab/-*", max_size=5)
credentials = st.sampled_from([GOOD, GOOD, GOOD, EMPTY_TOKEN, {}, {"auth": "OnA="}])
entries = st.dictionaries(st.builds("{}/{}".format, globs, paths) | globs, credentials, max_size=4)


def is_pattern(text: str) -> bool:
    try:
        ImagePatterns(include=(text,))
    except InvalidPattern:
        return False
    return True


patterns = st.builds(
    "{}/{}".format,
    st.sampled_from(["g.io", "g.io:443", "g.io:5", "*.io", "*.g.io", "q.io", "localhost", "*:5"]) | globs,
    st.text("ab/-*", min_size=1, max_size=5),
).filter(is_pattern)


@pytest.mark.slow
@given(
    entries=entries,
    include=st.lists(patterns, min_size=1, max_size=2, unique=True),
    exclude=st.lists(patterns, max_size=2),
    data=st.data(),
)
def test_what_is_said_of_a_pattern_holds_for_every_image_of_it(
    entries: dict[str, Any], include: list[str], exclude: list[str], data: st.DataObject
) -> None:
    keys = keyring(**entries)
    known = {
        part.pattern: part
        for part in coverage.cover(keys, ImagePatterns(include=tuple(include), exclude=tuple(exclude)))
    }
    for pattern in include:
        selecting = ImagePatterns(include=(pattern,), exclude=tuple(exclude))
        for image in data.draw(st.lists(images_of(pattern), min_size=4, max_size=12)):
            if not selecting.selects(image):
                continue
            try:
                repository = images.parse(image).repository
            except images.InvalidReference:
                continue
            assert pattern in known
            found = any(not credential.is_empty for credential in keys.lookup(repository))
            if known[pattern].coverage is Coverage.ALL and images.written_plainly(image):
                assert found
            if known[pattern].coverage is Coverage.NONE:
                assert not found


@st.composite
def images_of(draw: st.DrawFn, pattern: str) -> str:
    """Images that a pattern selects, mostly, and some beside."""
    host, _, path = pattern.partition("/")
    while "*" in host:
        host = host.replace("*", draw(st.sampled_from(["", "g", "x.g", "q", "a-b"])), 1)
    while "*" in path:
        path = path.replace("*", draw(st.sampled_from(["", "a", "b", "a/", "a/b", "ab", "-a"])), 1)
    host = draw(st.sampled_from([host, host, host.upper(), host.removesuffix(":443"), f"{host}:443", f"{host}:0443"]))
    return f"{host}/{path}{draw(st.sampled_from(['', ':1', 'a', '/a']))}"


@given(left=st.text("ab.*", max_size=6), right=st.text("ab.*", max_size=6), text=st.text("ab.", max_size=6))
def test_two_globs_meet_if_a_text_matches_both(left: str, right: str, text: str) -> None:
    def in_labels() -> bool:
        globs, labels = right.split("."), text.split(".")
        return len(globs) == len(labels) and all(
            glob_matches(glob.split("*"), label) for glob, label in zip(globs, labels, strict=True)
        )

    if glob_matches(left.split("*"), text):
        assert globs_meet(left, right) or not glob_matches(right.split("*"), text)
        assert globs_meet(left, right, apart=".") or not in_labels()


@pytest.mark.parametrize(
    ("left", "right", "apart", "meet"),
    [
        ("", "", "", True),
        ("*", "", "", True),
        ("", "**", "", True),
        ("a*", "*b", "", True),
        ("a*c", "ab*", "", True),
        ("a", "b", "", False),
        ("a*", "b*", "", False),
        ("a.b", "*", "", True),
        ("a.b", "*", ".", False),
        ("*.b", "*", ".", False),
        ("*.b", "*.*", ".", True),
        ("*", "a.*", ".", True),
        ("*b", "a*", ".", True),
        ("ab*", "a", "", False),
    ],
)
def test_globs_meet(left: str, right: str, apart: str, meet: bool) -> None:
    assert globs_meet(left, right, apart=apart) is meet


@pytest.mark.parametrize(
    ("image", "plainly"),
    [
        ("ghcr.io/a", True),
        ("ghcr.io:5000/a", True),
        ("GHCR.io/a", False),
        ("ghcr.io:443/a", False),
        ("ghcr.io:0443/a", False),
        ("ghcr.io:05000/a", False),
        ("ghcr.io/a:443", True),
        ("[::1]/a", True),
    ],
)
def test_a_host_is_written_plainly_in_lower_case_and_without_port_443(image: str, plainly: bool) -> None:
    assert images.written_plainly(image) is plainly
