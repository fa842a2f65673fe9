"""`helm`, as far as the documentation uses it, over Helm's own SDK: so that its commands are run as they stand.

`python -m tests.e2e.machinery.helm_cli VERB …`, with the cluster of $KUBECONFIG. There is no wheel with the program itself; what the
program is more than its SDK, the reading of flags, is here, and a flag that is not known here is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import helm_python
import yaml

from tests import helm
from tests.e2e.machinery.cluster import HERE

PUBLISHED: Final = "oci://ghcr.io/sesacthon/charts/ghcr-pull-secrets"
"""Where the pages have the chart from; here it is that of this repository, whose version must be the one asked for."""

VALUES: Final[Mapping[str, Any]] = {**HERE, "server": {"shutdownDelaySeconds": 3}}
"""Set besides what a page sets. Three seconds are long enough for `tests.e2e.machinery.node.ENDPOINT_LAG_S`."""

_TIMEOUT_S: Final = 90


def main(words: Sequence[str]) -> None:
    """Run one command.

    Raises:
        SystemExit: Helm, or the chart, says no; with what it said.
    """
    given = _parser().parse_args(words)
    config = helm_python.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=given.namespace)
    try:
        with config:
            print(_run(given, config), end="")
    except helm_python.HelmError as error:
        sys.exit(f"Error: {error}")


def _run(given: argparse.Namespace, config: helm_python.Config) -> str:
    wait = "watcher" if given.wait else None
    match given.verb:
        case "install":
            options = {"create_namespace": given.create_namespace, "wait": wait, "timeout": given.timeout}
            made = config.install(_chart(given), given.release, _values(given, VALUES), **options)
            return str(made["notes"])
        case "upgrade":
            # As the program does what the SDK has no word for: the new chart's defaults, the last release's values, these.
            last = config.get_values(given.release) if given.reset_then_reuse_values else VALUES
            values, options = _values(given, last), {"rollback_on_failure": given.rollback_on_failure}
            made = config.upgrade(_chart(given), given.release, values, wait=wait, timeout=given.timeout, **options)
            return str(made["notes"])
        case "rollback":
            config.rollback(given.release, wait=wait, timeout=given.timeout)
            return "Rollback was a success! Happy Helming!\n"
        case "test":
            config.test(given.release, timeout=given.timeout)
            return ""
        case "uninstall":
            if given.no_hooks and config.list(name_filter=f"^{given.release}$"):
                raise LookupError("the SDK cannot leave out the hooks of an uninstall")
            options = {"ignore_not_found": given.ignore_not_found, "timeout": given.timeout, "wait": wait}
            config.uninstall(given.release, **options)
            return f'release "{given.release}" uninstalled\n'
        case "get":
            text: str = yaml.safe_dump(config.get_values(given.release))
            # Without a format Helm writes a heading, which no `--values` takes.
            return text if given.output == "yaml" else f"USER-SUPPLIED VALUES:\n{text}"
        case "template":
            chart, values = _chart(given), _values(given, VALUES)
            assert chart == helm.CHART
            assert (given.release, given.namespace) == ("ghcr-pull-secrets", "ghcr-pull-secrets")
            manifests = helm.render_for(values, *(each.rpartition("/")[2] for each in given.api_versions))
            return yaml.safe_dump_all(manifests, sort_keys=False)
        case verb:
            raise LookupError(verb)


def _chart(given: argparse.Namespace) -> Path:
    named = given.chart
    if named != PUBLISHED and Path(named).resolve() != helm.CHART:
        sys.exit(f"Error: no chart {named}")
    version = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    if given.version not in (None, version):
        sys.exit(f"Error: no version {given.version}")
    return helm.CHART


def _values(given: argparse.Namespace, base: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(base))
    for path in given.values:
        _merge(values, yaml.safe_load(sys.stdin if path == "-" else Path(path).read_text(encoding="utf-8")))
    for expression in given.set:
        _merge(values, helm_python.parse_set_string(expression))
    return values


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)(s|m)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no duration")
    return int(found[1]) * (60 if found[2] == "m" else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="helm", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("install", "upgrade", "template", "rollback", "test", "uninstall", "get"):
        command = verbs.add_parser(verb, allow_abbrev=False)
        if verb == "get":
            command.add_argument("what", choices=["values"])
            command.add_argument("--output", choices=["yaml"])
        command.add_argument("release")
        if verb in ("template", "uninstall"):
            command.add_argument("--no-hooks", action="store_true", required=verb == "template")
            command.add_argument("--api-versions", action="append", default=[])
        command.add_argument("--namespace", default="default")
        command.add_argument("--timeout", type=_seconds, default=_TIMEOUT_S)
        if verb not in ("test", "get", "template"):
            command.add_argument("--wait", action="store_true")
        else:
            command.set_defaults(wait=False)
        if verb in ("install", "upgrade", "template"):
            command.add_argument("chart")
            command.add_argument("--version")
            command.add_argument("--values", action="append", default=[])
            command.add_argument("--set", action="append", default=[])
        if verb == "uninstall":
            command.add_argument("--ignore-not-found", action="store_true")
        if verb == "install":
            command.add_argument("--create-namespace", action="store_true")
        if verb == "upgrade":
            command.add_argument("--reset-then-reuse-values", action="store_true")
            command.add_argument("--rollback-on-failure", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
