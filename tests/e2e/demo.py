"""`make demo`: the story of DESIGN.md on the stand-in, told as a person would want to see it."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from tests.e2e.cluster import secret_manifest
from tests.e2e.installation import Installation
from tests.e2e.planes import StandIn, control_plane
from tests.e2e.waiting import until
from tests.objects import payload, pod_spec_of, workload

NAMES = ("auth", "my", "scan", "character", "location", "info", "chat")


def deployment(name: str, namespace: str, image: str, *, secrets: list[str] | None = None) -> dict[str, Any]:
    """A Deployment as the seven teams have it."""
    manifest = workload("Deployment", name=name, namespace=namespace, images=[image], secrets=secrets)
    manifest["spec"]["selector"] = {"matchLabels": {"app": name}}
    return manifest


class Demo:
    """The acts of the story, each of which notes whether it went as told."""

    def __init__(self, installation: Installation, console: Console) -> None:
        self._installation = installation
        self._kube = installation.kube
        self._console = console
        self._results: list[tuple[str, bool, str]] = []

    def play(self) -> bool:
        """Play every act; returns whether all went as told."""
        acts: list[tuple[str, Callable[[], str]]] = [
            ("Seven namespaces without a pull secret", self._before),
            ("The same Deployments, applied through the webhook", self._inject),
            ("Applied again, and diffed: nothing changes", self._again),
            ("A workload that would pull without credentials", self._reject),
            ("A foreign, broken ghcr-secret is left untouched, and rejected", self._foreign),
            ("An image from elsewhere never reaches the webhook", self._elsewhere),
            ("A dry run shows the patch and writes nothing", self._dry_run),
            ("The central token changes, and the seven copies follow", self._rotate),
            ("A copy that is deleted comes back", self._heal),
        ]
        for number, (title, act) in enumerate(acts, 1):
            self._console.rule(f"[bold]{number}. {title}", align="left")
            try:
                self._results.append((title, True, act()))
            except Exception as error:
                self._console.print(f"[red]{type(error).__name__}: {error}")
                self._results.append((title, False, type(error).__name__))
        return self._summary()

    def _summary(self) -> bool:
        table = Table(title="As told?", title_justify="left")
        table.add_column("What")
        table.add_column("Seen")
        table.add_column("")
        for title, well, seen in self._results:
            table.add_row(title, seen, "[green]yes" if well else "[red]NO")
        self._console.print()
        self._console.print(table)
        return all(well for _, well, _ in self._results)

    def _before(self) -> str:
        for name in NAMES:
            self._installation.namespace(name)
        self._show("get", "secrets", "-A", "--field-selector=metadata.name=ghcr-secret")
        missing = [name for name in NAMES if not self._kube.exists("secret", "ghcr-secret", name)]
        _expect(len(missing) == len(NAMES), "no namespace has a ghcr-secret yet")
        return "0 of 7 have one"

    def _inject(self) -> str:
        for index, name in enumerate(NAMES):
            image = f"ghcr.io/sesacthon/{name}-api:latest"
            # Some of the teams name the secret in their manifests, some do not.
            secrets = ["ghcr-secret"] if index % 2 == 0 else None
            self._kube.apply(deployment(f"{name}-api", name, image, secrets=secrets))
        table = Table("namespace", "Deployment lists", "Pod lists", "ghcr-secret", "review")
        for name in NAMES:
            pods = until(lambda name=name: self._kube.get("pods", "", name)["items"], f"a Pod in {name}")  # type: ignore[misc]
            listed = _listed(self._kube.get("deployment", f"{name}-api", name))
            copy = self._installation.secret_of(name)
            managed = copy["metadata"]["labels"]["app.kubernetes.io/managed-by"]
            answer = self._review(namespace=name, half="mutate", kind="Deployment")
            table.add_row(
                name, listed, _listed(pods[0]), f"managed by {managed}", f"{answer['reason']}, {answer['provisioning']}"
            )
            _expect(listed == _listed(pods[0]) == "ghcr-secret", f"{name} pulls with ghcr-secret")
            _expect(
                base64.b64decode(copy["data"][".dockerconfigjson"]) == payload(), f"{name} has the central credentials"
            )
        self._console.print(table)
        return "7 of 7 pull with their copy"

    def _again(self) -> str:
        manifest = deployment("my-api", "my", "ghcr.io/sesacthon/my-api:latest")
        _expect("unchanged" in self._show("apply", "-f", "-", stdin=json.dumps(manifest)), "apply says unchanged")
        _expect(self._kube("diff", "-f", "-", stdin=json.dumps(manifest), ok=None).code == 0, "diff exits 0")
        return "unchanged; kubectl diff exits 0"

    def _reject(self) -> str:
        self._installation.namespace("by-hand", {"ghcr-pull-secrets.io/inject": "false"})
        manifest = deployment("auth-api", "by-hand", "ghcr.io/sesacthon/auth-api:latest")
        said = self._show("apply", "-f", "-", stdin=json.dumps(manifest), ok=False)
        _expect("denied the request: Deployment by-hand/auth-api would pull" in said, "kubectl prints why")
        _expect("To fix it, add" in said, "kubectl prints what fixes it")
        _expect(not self._kube.exists("deployment", "auth-api", "by-hand"), "nothing was let in")
        return "denied, with what fixes it"

    def _foreign(self) -> str:
        self._installation.namespace("foreign")
        self._kube.apply(secret_manifest("foreign", b'{"auths": {"ghcr.io": {"auth": "not base64"}}}'))
        before = self._installation.secret_of("foreign")
        manifest = deployment("auth-api", "foreign", "ghcr.io/sesacthon/auth-api:latest")
        said = self._show("apply", "-f", "-", stdin=json.dumps(manifest), ok=False)
        _expect("Secret foreign/ghcr-secret is malformed" in said, "the Secret is named")
        _expect(self._installation.secret_of("foreign") == before, "the Secret is untouched")
        return "denied; the Secret is byte for byte as it was"

    def _elsewhere(self) -> str:
        self._kube.apply(deployment("web", "info", "docker.io/library/nginx:1.27"))
        self._kube.apply(deployment("last", "info", "ghcr.io/sesacthon/last:1"))
        self._review(namespace="info", name="last", half="validate")
        _expect(not self._reviews(namespace="info", name="web"), "the webhook was not called for it")
        return "no call of the webhook"

    def _dry_run(self) -> str:
        self._installation.namespace("dry")
        manifest = deployment("auth-api", "dry", "ghcr.io/sesacthon/auth-api:latest")
        shown = json.loads(self._kube.apply(manifest, args=["--dry-run=server", "-o", "json"]).out)
        _expect(_listed(shown) == "ghcr-secret", "the patch is shown")
        _expect(not self._kube.exists("secret", "ghcr-secret", "dry"), "no Secret was made")
        return "patched on paper, no Secret made"

    def _rotate(self) -> str:
        controller = self._installation.start_controller()
        until(lambda: "ghcr_pull_secrets_leading 1.0" in controller.ops("/metrics")[1], "the controller leads")
        new = payload(token="ghp_CANARYcanaryROTATED789canaryCANARY42")
        watched = {name: self._watch(name) for name in NAMES}
        begun = time.monotonic()
        self._installation.set_central(new)
        written = time.monotonic()
        for name, copy in watched.items():
            until(lambda copy=copy: copy() == new, f"the copy of {name} follows", every_s=0.005)  # type: ignore[misc]
        took = time.monotonic() - written
        self._console.print(
            f"kubectl apply of the central secret: {written - begun:.2f} s; the last of 7 copies equal {took:.2f} s later"
        )
        until(lambda: "CopyUpdated" in self._kube("get", "events", "-n", "my").out, "the Event is there")
        self._show("get", "events", "-n", "my", "--field-selector=reason=CopyUpdated")
        return f"7 of 7 within {max(took, 0.01):.2f} s of kubectl's return"

    def _watch(self, namespace: str) -> Callable[[], bytes]:
        """Read a copy's credentials quickly: from within the stand-in, or with kubectl from a real API server."""
        plane = self._installation.plane
        if not isinstance(plane, StandIn):
            return lambda: self._installation.payload_of(namespace)
        store = plane.api.store

        def read() -> bytes:
            found = store.get("secrets", namespace, "ghcr-secret") or {"data": {}}
            return base64.b64decode(found["data"].get(".dockerconfigjson", ""))

        return read

    def _heal(self) -> str:
        self._show("delete", "secret", "ghcr-secret", "-n", "chat")
        begun = time.monotonic()
        until(lambda: self._kube.exists("secret", "ghcr-secret", "chat"), "it is back", every_s=0.01)
        return f"back within {time.monotonic() - begun:.2f} s"

    def _show(self, *args: str, stdin: str | None = None, ok: bool = True) -> str:
        said = self._kube(*args, stdin=stdin, ok=ok).text.strip()
        self._console.print(
            Panel(said or "(nothing)", title=f"kubectl {' '.join(args)}", title_align="left"),
            highlight=False,
            markup=False,
        )
        return said

    def _reviews(self, **wanted: str) -> list[dict[str, Any]]:
        records = [json.loads(line) for server in self._installation.servers for line in server.lines]
        answered = [record for record in records if record.get("event") == "review_answered"]
        return [each for each in answered if all(each.get(key) == value for key, value in wanted.items())]

    def _review(self, **wanted: str) -> dict[str, Any]:
        return until(lambda: self._reviews(**wanted), f"a review of {wanted}")[0]


def _listed(manifest: dict[str, Any]) -> str:
    return ", ".join(entry["name"] for entry in pod_spec_of(manifest).get("imagePullSecrets", []))


def _expect(told: bool, what: str) -> None:
    if not told:
        raise AssertionError(f"not so: {what}")


def main() -> int:
    """Play the story; the exit code says whether it went as told."""
    console = Console(width=120, soft_wrap=False)
    begun = time.monotonic()
    plane = control_plane()
    try:
        plane.start()
        installation = Installation(plane).install()
        try:
            told = Demo(installation, console).play()
        finally:
            installation.uninstall()
    finally:
        plane.close()
    console.print(
        f"{'As told' if told else 'NOT as told'}, on the {plane.name} API server, in {time.monotonic() - begun:.0f} s."
    )
    return 0 if told else 1


if __name__ == "__main__":
    sys.exit(main())
