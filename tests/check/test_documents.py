"""Texts to objects: their lines, what is skipped, and every way in which a text can be wrong."""

import json
import re
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.check.runs import check
from webhook.check.documents import Loader, Reader, load
from webhook.check.manifests import MAX_DEPTH, MAX_MERGED, Converter, Manifest, Trouble, Unusable

KINDS = ("Deployment", "Secret", "Namespace")


def read(text: str, *, found: bool = False) -> list[Manifest | Trouble]:
    return list(Reader(lambda _group, _version, kind: kind in KINDS).read("f.yaml", text, found=found))


def objects(text: str) -> list[object]:
    return [each.obj for each in read(text) if isinstance(each, Manifest)]


def troubles(text: str) -> list[str]:
    return [f"{each.line}: {each.problem}" for each in read(text) if isinstance(each, Trouble)]


def test_each_document_knows_its_line_and_those_of_its_fields() -> None:
    text = "# top\nkind: Secret\na: 1\n---\n# second\nkind: Deployment\nspec:\n  list:\n  - x\n  - {y: 1}\n--- {kind: Namespace}\n"
    first, second, third = read(text)
    assert isinstance(first, Manifest)
    assert isinstance(second, Manifest)
    assert isinstance(third, Manifest)
    assert [first.line, second.line, third.line] == [2, 6, 11]
    assert second.line_of("spec", "list", 1, "y") == 10
    assert second.line_of("spec", "absent", 1) == 7


def test_lists_are_taken_apart_and_typed_ones_give_their_items_a_kind() -> None:
    text = (
        "kind: List\napiVersion: v1\nitems:\n- kind: Secret\n- kind: List\n  items: [{kind: Deployment}]\n- 7\n"
        "---\nkind: SecretList\napiVersion: v1\nitems:\n- {n: 1}\n"
    )
    found = [each for each in read(text) if isinstance(each, Manifest)]
    assert [(each.kind, each.line, each.origin.items) for each in found] == [
        ("Secret", 4, (0,)),
        ("Deployment", 6, (1, 0)),
        ("Secret", 12, (0,)),
    ]


def test_what_is_of_no_interest_is_not_even_parsed() -> None:
    assert read("kind: CustomResourceDefinition\nspec: [broken\n---\n'kind': \"ConfigMap\"  # x\ndata: {{ x\n") == []


@pytest.mark.slow
def test_fifty_megabytes_of_definitions_cost_next_to_nothing() -> None:
    definition = "---\nkind: CustomResourceDefinition\nspec:\n" + "  description: some text of a schema\n" * 30_000
    bundle = definition * 50 + "---\nkind: Secret\nn: 1\n"
    assert len(bundle) > 50_000_000
    before = time.process_time()
    assert len(objects(bundle)) == 1
    skipping = time.process_time() - before
    before = time.process_time()
    yaml.load(
        definition[4:200_000].rpartition("\n")[0].replace("  description", "- description"), Loader=yaml.CSafeLoader
    )
    assert skipping < 250 * (time.process_time() - before)  # parsing it would take about that, per 1/250 of the text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", r"2: not YAML: did not find expected ',' or ']'"),
        ("kind: Deployment\nmetadata:\n\tname: x\n", r"3: not YAML: .*there is a tab"),
        ("kind: Deployment\na: *nowhere\n", r"2: not YAML: found undefined alias"),
        ("kind: Deployment\na: \x01\n", r"2: not YAML: control characters are not allowed"),
        ("kind: Deployment\n? [a]\n: b\n", r"2: a key is no scalar"),
        ("kind: Deployment\na: &a [*a]\n", r"2: an alias refers to what it is part of"),
        ("kind: Deployment\na: {<<: text}\n", r"2: a merge key \(<<\) needs a mapping"),
        ("kind: Deployment\na: 1\na: 2\n", r"3: this key stands in its mapping twice; the last one counts"),
        ("kind: Deployment\nname: {{ .Release.Name }}\n", r"2: a key is no scalar; .*helm template"),
        ("kind: {{ .Values.kind }}\n", r"1: the kind is no string; .*helm template"),
        ("{{- if .Values.x }}\nkind: Deployment\n{{- end }}\n", r"1: not YAML: .*helm template"),
        ("[" * 100_000, rf"1: nested more than {MAX_DEPTH} levels deep"),
        ("- " * 50_000 + "a", rf"1: nested more than {MAX_DEPTH} levels deep"),
        ("{a: " * 50_000, rf"1: nested more than {MAX_DEPTH} levels deep"),
        ("\n".join(" " * each + "a:" for each in range(300)), rf"201: nested more than {MAX_DEPTH} levels deep"),
    ],
)
def test_what_is_wrong_with_a_text_is_said_with_its_line(text: str, said: str) -> None:
    (told,) = troubles(text)
    assert re.fullmatch(f"{said}.*", told), told


def test_a_broken_document_does_not_hide_the_others() -> None:
    assert objects("kind: Secret\nn: 1\n---\nkind: Secret\nn: [\n---\nkind: Secret\nn: 3\n") == [
        {"kind": "Secret", "n": 1},
        {"kind": "Secret", "n": 3},
    ]


def test_scalars_are_what_kubectl_takes_them_for() -> None:
    text = "kind: Secret\non: yes\nno: ~\nd: 2020-01-01\nt: 12:30\ni: 7\nx: 0x1f\nf: 1.5\n12: a\ns: 'on'\n"
    assert objects(text) == [
        {"kind": "Secret", "true": True, "false": None, "d": "2020-01-01", "t": "12:30", "i": 7, "x": 0.0, "f": 0.0,
         "12": "a", "s": "on"}
    ]  # fmt: skip


def test_anchors_and_merges_are_followed_and_own_keys_go_before_merged_ones() -> None:
    text = "kind: Secret\na: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\nc: {<<: [{x: 9}, *a]}\nd: *a\n"
    (found,) = objects(text)
    assert found == {
        "kind": "Secret", "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 9, "y": 2}, "d": {"x": 1, "y": 2}
    }  # fmt: skip


def test_aliases_of_aliases_cost_no_more_than_they_are_long() -> None:
    lines = ["kind: Secret", "a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    assert len(objects("\n".join(lines))) == 1


def test_merges_of_merges_are_bounded() -> None:
    lines = ["kind: Secret", "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}"]
    lines += [f"b{n}: {{<<: *a}}" for n in range(MAX_MERGED // 2000 + 1)]
    assert troubles("\n".join(lines)) == [f"{len(lines)}: merge keys copy more than {MAX_MERGED} entries"]


def test_json_is_read_too_with_its_escapes() -> None:
    text = json.dumps({"kind": "Secret", "a": "\U0001f600\\/é", "b": [1]}, indent="\t")
    assert objects(text.replace("/", "\\/")) == [{"kind": "Secret", "a": "\U0001f600\\/é", "b": [1]}]


def test_in_a_folder_only_what_has_a_kind_can_be_broken() -> None:
    assert read("a: [1", found=True) == []
    assert len(read("kind: Secret\na: [1", found=True)) == 1


def test_directives_and_document_ends_are_no_documents() -> None:
    reader = Reader(lambda _group, _version, kind: kind == "Secret")
    assert len(list(reader.read("f", "%YAML 1.1\n---\nkind: Secret\n...\n---\n# nothing\n---\nkind: Secret\n"))) == 2
    assert reader.documents == 2


SCALARS = st.one_of(st.none(), st.booleans(), st.text("ab:#'\"{} \n\u00e9", max_size=6), st.just("2020-01-01"))
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
)


@pytest.mark.slow
@given(st.lists(st.dictionaries(st.text("abc", min_size=1), TREES, max_size=4), max_size=4), st.booleans())
def test_what_pyyaml_writes_is_read_as_it_was(trees: list[dict[str, object]], flow: bool) -> None:
    trees = [{"kind": "Secret", **tree} for tree in trees]
    assert objects(yaml.safe_dump_all(trees, default_flow_style=flow, allow_unicode=True)) == trees


@given(st.text("ka: -[]{}&*<!|>%@`'\"\n\t#?,~0", max_size=40))
def test_no_text_ends_in_anything_but_objects_and_troubles(text: str) -> None:
    check(text, f"kind: Deployment\n{text}")


@given(st.text("yesnotrufaNULL~0123456789.:eE+-_=<x", max_size=8))
def test_the_quick_resolver_gives_the_tags_of_pyyaml(text: str) -> None:
    def tag(loader: type[Loader] | type[yaml.CSafeLoader]) -> object:
        try:
            node = loader(text).get_single_node()
        except yaml.YAMLError:
            return None
        return node.tag if node else None

    assert tag(Loader) == tag(yaml.CSafeLoader)


def test_values_are_read_with_the_same_bounds() -> None:
    assert load("images: {include: [a]}") == {"images": {"include": ["a"]}}
    assert load("") is None
    for broken in ("a: [", "[" * 100_000, "a: 1\n---\nb: 2\n", "a: \x01"):
        with pytest.raises(Unusable):
            load(broken)


def test_a_converter_keeps_where_keys_occur_twice() -> None:
    converter = Converter()
    node = Loader("a: 1\nb: {c: 1, c: 2}\na: 3\n").get_single_node()
    assert node is not None
    converter.convert(node)
    assert converter.duplicates == [(1, "c"), (2, "a")]
