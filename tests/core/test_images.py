"""Image references as the kubelet reads them, and patterns that select images."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import cel
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.patterns import pattern_to_regex
from webhook.core import images
from webhook.core.images import InvalidReference, ReferenceFault
from webhook.core.patterns import ImagePatterns, InvalidPattern

RECORDINGS = Path(__file__).parents[1] / "data" / "kubelet-keyring.jsonl"
re2: Any = import_module("re2")  # it has no types
SHA256 = "sha256:" + "a" * 64


def recorded_images() -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in RECORDINGS.read_text(encoding="utf-8").splitlines())
    return list({line["image"]: line for line in lines}.values())


@pytest.mark.parametrize("line", recorded_images(), ids=lambda line: repr(line["image"][:60]))
def test_an_image_is_parsed_as_the_kubelet_recorded(line: dict[str, Any]) -> None:
    if line["parse_error"]:
        with pytest.raises(InvalidReference):
            images.parse(line["image"])
    else:
        parsed = images.parse(line["image"])
        assert (parsed.repository, parsed.tag, parsed.digest) == (line["repository"], line["tag"], line["digest"])


@pytest.mark.parametrize(
    ("image", "registry", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io", "docker.io/library/nginx", "latest", ""),
        ("docker.io/nginx", "docker.io", "docker.io/library/nginx", "latest", ""),
        ("index.docker.io/nginx:1", "docker.io", "docker.io/library/nginx", "1", ""),
        ("ghcr.io:443/a/b", "ghcr.io:443", "ghcr.io:443/a/b", "latest", ""),
        ("[::1]:5000/a", "[::1]:5000", "[::1]:5000/a", "latest", ""),
        ("Team/app", "Team", "Team/app", "latest", ""),
        ("a_b.c/x", "a_b.c", "a_b.c/x", "latest", ""),
        (f"x@{SHA256}", "docker.io", "docker.io/library/x", "", SHA256),
        (f"x:1@{SHA256}", "docker.io", "docker.io/library/x", "1", SHA256),
        ("g.io/" + "p" * 255, "g.io", "g.io/" + "p" * 255, "latest", ""),
        ("g.io/x:" + "t" * 128, "g.io", "g.io/x", "t" * 128, ""),
        ("x@sha384:" + "b" * 96, "docker.io", "docker.io/library/x", "", "sha384:" + "b" * 96),
        ("x@sha512:" + "c" * 128, "docker.io", "docker.io/library/x", "", "sha512:" + "c" * 128),
    ],
)
def test_a_name_is_normalised(image: str, registry: str, repository: str, tag: str, digest: str) -> None:
    parsed = images.parse(image)
    assert (parsed.registry, parsed.repository, parsed.tag, parsed.digest) == (registry, repository, tag, digest)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("a" * 64, ReferenceFault.IMAGE_ID),
        ("ghcr.io/Team/app", ReferenceFault.UPPERCASE),
        ("ghcr.io/", ReferenceFault.FORMAT),
        ("ghcr.io/a\n", ReferenceFault.FORMAT),
        ("ghcr.io/a___b", ReferenceFault.FORMAT),
        ("ghcr.io/a..b", ReferenceFault.FORMAT),
        ("-ghcr.io/a", ReferenceFault.FORMAT),
        ("ghcr.io/é", ReferenceFault.FORMAT),
        ("ghcr.io/\ud800", ReferenceFault.FORMAT),
        ("x:\u0661", ReferenceFault.FORMAT),
        ("g.io/x:" + "t" * 129, ReferenceFault.FORMAT),
        ("g.io/" + "p" * 256, ReferenceFault.TOO_LONG),
        ("x@sha256:" + "A" * 64, ReferenceFault.DIGEST),
        ("x@sha256:" + "a" * 63, ReferenceFault.DIGEST),
        ("x@sha512:" + "a" * 64, ReferenceFault.DIGEST),
        ("x@md5:" + "a" * 32, ReferenceFault.DIGEST),
    ],
)
def test_an_invalid_reference_says_why(image: str, reason: ReferenceFault) -> None:
    with pytest.raises(InvalidReference) as caught:
        images.parse(image)
    assert (caught.value.reference, caught.value.reason) == (image, reason)
    assert image not in str(caught.value)


@given(st.text() | st.from_regex(r"[a-zA-Z0-9._:/@\[\]-]{0,80}") | st.text(st.characters(codec=None)))
@example("")
def test_no_text_makes_parse_raise_anything_else(image: str) -> None:
    try:
        parsed = images.parse(image)
    except InvalidReference:
        return
    suffix = (f":{parsed.tag}" if parsed.tag else "") + (f"@{parsed.digest}" if parsed.digest else "")
    assert images.parse(parsed.repository + suffix) == parsed


@pytest.mark.timeout(10)
@pytest.mark.parametrize("unit", ["a", "a.", "a-", "a/", "a__", "g.io/-", "a:", "a@", "["])
def test_a_huge_image_is_refused_in_linear_time(unit: str) -> None:
    with pytest.raises(InvalidReference):
        images.parse(unit * 500_000 + "/!")


SELECTION = [
    ("ghcr.io/*", "ghcr.io/app", True),
    ("ghcr.io/*", "ghcr.io/team/deep/app:1", True),
    ("ghcr.io/*", f"ghcr.io/team/app:1@{SHA256}", True),
    ("ghcr.io/*", "GHCR.IO/team/app", True),
    ("ghcr.io/*", "ghcr.io:443/team/app", True),
    ("ghcr.io:443/*", "ghcr.io/team/app", True),
    ("ghcr.io:443/*", "Ghcr.io:443/team/app", True),
    ("ghcr.io:5000/*", "ghcr.io:5000/team/app", True),
    ("ghcr.io:5000/*", "ghcr.io/team/app", False),
    ("ghcr.io:5000/*", "ghcr.io:443/team/app", False),
    ("ghcr.io/*", "ghcr.io:5000/team/app", False),
    ("ghcr.io/*", "ghcr.io:0443/team/app", True),
    ("ghcr.io/*", "GHCR.IO:000443/team/app", True),
    ("ghcr.io/*", "ghcr.io:4430/team/app", False),
    ("ghcr.io/*", "ghcr.io:0/team/app", False),
    ("ghcr.io/*", "ghcr.io:/team/app", False),
    ("ghcr.io/*", "ghcr.io:\u0664\u0664\u0663/team/app", False),
    ("ghcr.io:0443/*", "ghcr.io/team/app", True),
    ("ghcr.io:5000/*", "ghcr.io:05000/team/app", True),
    ("ghcr.io:05000/*", "ghcr.io:5000/team/app", True),
    ("ghcr.io:00/*", "ghcr.io:0/team/app", True),
    ("ghcr.io:00/*", "ghcr.io/team/app", False),
    ("*.pkg.dev/*", "eu.pkg.dev:00443/x", True),
    ("[::1]:5000/*", "[::1]:05000/x", True),
    ("ghcr.io/*", "ghcr.io:443:443/team/app", False),
    ("ghcr.io/*", "ghcr.io", False),
    ("ghcr.io/*", "ghcr.io:443", False),
    ("ghcr.io/*", "ghcrxio/team/app", False),
    ("ghcr.io/*", "pkg.ghcr.io/team/app", False),
    ("ghcr.io/*", "ghcr.io.evil.com/team/app", False),
    ("ghcr.io/*", "evil.com/ghcr.io/app", False),
    ("ghcr.io/*", "ghcr.\u0130o/app", False),
    ("ghcr.io/*", "ghcr.\u0131o/app", False),
    ("registry.k8s.io/*", "registry.\u212a8s.io/app", False),
    ("registry.k8s.io/*", "regi\u017ftry.k8s.io/app", False),
    ("ghcr.io/sesacthon/auth-api", "ghcr.io/sesacthon/auth-api", True),
    ("ghcr.io/sesacthon/auth-api", "ghcr.io/sesacthon/auth-api:1", True),
    ("ghcr.io/sesacthon/auth-api", f"ghcr.io/sesacthon/auth-api@{SHA256}", True),
    ("ghcr.io/sesacthon/auth-api", "ghcr.io/sesacthon/auth-api2", False),
    ("ghcr.io/sesacthon/auth-api", "ghcr.io/sesacthon/auth-api/x", False),
    ("ghcr.io/sesacthon/auth-api", "ghcr.io/Sesacthon/auth-api", False),
    ("ghcr.io/*-api", "ghcr.io/a/b-api:1", True),
    ("ghcr.io/*-api", "ghcr.io/a/b:1-api", False),
    ("ghcr.io/a*b*c", "ghcr.io/axxbbxc", True),
    ("ghcr.io/a*b*c", "ghcr.io/ac", False),
    ("ghcr.io/ab*ba", "ghcr.io/aba", False),
    ("ghcr.io/a*b*b", "ghcr.io/ab", False),
    ("*.pkg.dev/*", "eu.docker.pkg.dev/x", True),
    ("*.pkg.dev/*", "eu.pkg.dev:5000/x", False),
    ("*.pkg.dev/*", "eu.pkg.dev:443/x", True),
    ("*.pkg.dev/*", "eu:1.pkg.dev/x", False),
    ("*.pkg.dev/*", "evil.com/eu.pkg.dev/x", False),
    ("localhost/*", "localhost/x", True),
    ("[::1]:5000/*", "[::1]:5000/x", True),
    ("[FE80::1]/*", "[fe80::1]:443/x", True),
    ("ghcr.io/a", "ghcr.io/a\n", True),
    ("ghcr.io/a", "ghcr.io/a\r", False),
    ("ghcr.io/a", "\nghcr.io/a", False),
    ("ghcr.io/a.b", "ghcr.io/axb", False),
]


def agreed(pattern: str, image: str) -> bool:
    """What the core selects, after holding every engine against it that reads the expression."""
    expression = pattern_to_regex(pattern)
    selected = ImagePatterns(include=(pattern,)).selects(image)
    answers = {
        "python": re.search(expression, image) is not None,
        "re2": re2.search(expression, image) is not None,
        "cel": cel.evaluate("image.matches(expression)", {"image": image, "expression": expression}),
    }
    assert answers == dict.fromkeys(answers, selected)
    return selected


@pytest.mark.parametrize(("pattern", "image", "selected"), SELECTION)
def test_core_re2_and_cel_agree_on_what_a_pattern_selects(pattern: str, image: str, selected: bool) -> None:
    assert agreed(pattern, image) is selected


hosts = st.text("aik.-*K", min_size=1, max_size=6).map("x.{}".format)
paths = st.text("ab*/.-_", min_size=1, max_size=8)
hostile = st.text("aAbiIkK.*-_/:@\n\r\u2028\x00\u212a\u0130\u0131]43 05", max_size=24)


@given(
    pattern=st.tuples(hosts, st.sampled_from(["", ":443", ":5", ":05", ":0"]), st.just("/"), paths).map("".join),
    data=st.data(),
)
def test_core_re2_and_cel_agree_on_hostile_images(pattern: str, data: st.DataObject) -> None:
    near = pattern.replace("*", data.draw(hostile)) + data.draw(st.sampled_from(["", ":1", "@", "\n", "\n\n", "/"]))
    for image in (data.draw(hostile), "x." + data.draw(hostile), near, near.upper()):
        agreed(pattern, image)


def test_an_excluded_image_is_not_selected() -> None:
    patterns = ImagePatterns(include=("ghcr.io/*", "quay.io/team/*"), exclude=("ghcr.io/public/*",))
    assert patterns.selects("ghcr.io/private/app")
    assert patterns.selects("quay.io/team/app")
    assert not patterns.selects("GHCR.io:443/public/app")
    assert not patterns.selects("quay.io/other/app")


def test_without_patterns_nothing_is_selected() -> None:
    assert not ImagePatterns(include=()).selects("ghcr.io/a")


@pytest.mark.timeout(10)
def test_a_pattern_of_many_stars_is_matched_in_linear_time() -> None:
    patterns = ImagePatterns(include=("*a*a*a*a*a.io/*a*a*a*a*a*b",))
    assert not patterns.selects("a" * 200_000 + ".io/" + "a" * 500_000)
    assert not patterns.selects("a" * 500_000 + "/b")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "ghcr.io",
        "ghcr.io/",
        "/app",
        "*/app",
        "team/app",
        "docker.io/*",
        "DOCKER.IO:443/*",
        "index.docker.io/library/*",
        "ghcr.io/app:1",
        f"ghcr.io/app@{SHA256}",
        "ghcr.io/Team/*",
        "ghcr.io /app",
        "ghcr.io/a b",
        "ghcr.io/app\n",
        "ghcr.io\n/app",
        "ghcr.io/a\x00",
        "ghcr.io:x/*",
        "ghcr.io:/*",
        "ghcr.io/(a|b)",
        "gh[c]r.io/*",
        "[::1/*",
        "gh\u212ar.io/*",
    ],
)
def test_a_pattern_that_cannot_mean_anything_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern) as alone:
        pattern_to_regex(pattern)
    assert (alone.value.field, alone.value.pattern) == ("", pattern)
    with pytest.raises(InvalidPattern) as listed:
        ImagePatterns(include=("ghcr.io/*",), exclude=("quay.io/*", pattern))
    assert (listed.value.field, listed.value.index, listed.value.reason) == ("exclude", 1, alone.value.reason)


def test_the_expression_is_made_of_the_documented_steps() -> None:
    assert pattern_to_regex("GHCR.io/*/b.c") == r"^[gG][hH][cC][rR]\.[iI][oO](:0*443)?/[^:@\n]*/b\.c([:@\n](?s:.*))?$"
    assert pattern_to_regex("*.x-1:80/a") == r"^[^/:]*\.[xX]-1:0*80/a([:@\n](?s:.*))?$"
