"""The acts of `make demo`, each of which says what was seen and fails if it is not as told."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import yaml
from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import StandIn
from tests.e2e.machinery.waiting import until
from tests.e2e.screen import Screen
from tests.objects import RELEASE_NAMESPACE, payload, pod_spec_of, workload

NAMES: Final = ("auth", "my", "scan", "character", "location", "info", "chat")
WAITING: Final = "stats"
"""A namespace whose Pod waits since before the installation; the acts play its kubelet."""

_NOT_LISTED: Final = "[red]–[/]"


Act = tuple[str, Callable[[], str], bool]
"""Title; what plays it and says what was seen; whether it is in the picture, and so looks the same each time."""


def deployment(name: str, namespace: str, image: str, *, secrets: list[str] | None = None) -> dict[str, Any]:
    """A Deployment as the seven teams have it."""
    manifest = workload("Deployment", name=name, namespace=namespace, images=[image], secrets=secrets)
    manifest["spec"]["selector"] = {"matchLabels": {"app": name}}
    return manifest


def before_the_installation(installation: Installation) -> None:
    """Apply what is there on the day of the installation: a Pod that lists a Secret nobody made."""
    installation.namespace(WAITING)
    image = f"ghcr.io/sesacthon/{WAITING}-api:latest"
    installation.kube.apply(
        workload("Pod", name=f"{WAITING}-api", namespace=WAITING, images=[image], secrets=["ghcr-secret"])
    )


class Acts:
    """The acts, in order.

    Args:
        installation: The add-on, with a server and no controller yet.
        screen: Where they are played.
    """

    def __init__(self, installation: Installation, screen: Screen) -> None:
        self._installation = installation
        self._kube = installation.kube
        self._screen = screen

    def all(self) -> Iterable[Act]:
        """List the acts."""
        yield "Seven namespaces without a pull secret", self._before, True
        yield "The same seven, and their Deployments applied through the webhook", self._inject, True
        yield "Applied again, and diffed: nothing changes", self._again, False
        yield "A workload that would pull without credentials", self._reject, True
        yield "A foreign, broken ghcr-secret is left untouched, and rejected", self._foreign, False
        yield "An image from elsewhere never reaches the webhook", self._elsewhere, False
        yield "A dry run shows the patch and writes nothing", self._dry_run, False
        yield "A Pod that waits since before the installation heals", self._wait, False
        yield "The central token changes, and the copies follow", self._rotate, False
        yield "A copy that is deleted comes back", self._heal, False
        yield "check: the same answer in a pull request, without a cluster", self._check, False
        yield "doctor: why a Pod does not pull, and what fixes it", self._doctor, False

    def _before(self) -> str:
        for name in NAMES:
            self._installation.namespace(name)
        missing = [name for name in NAMES if not self._kube.exists("secret", "ghcr-secret", name)]
        self._show_namespaces({name: (_NOT_LISTED if name in missing else "there", "", "") for name in NAMES})
        _expect(len(missing) == len(NAMES), "no namespace has a ghcr-secret yet")
        return "0 of 7 have one"

    def _inject(self) -> str:
        for index, name in enumerate(NAMES):
            image = f"ghcr.io/sesacthon/{name}-api:latest"
            # Some of the teams name the secret in their manifests, some do not.
            secrets = ["ghcr-secret"] if index % 2 == 0 else None
            self._kube.apply(deployment(f"{name}-api", name, image, secrets=secrets))
        rows = {}
        for name in NAMES:
            pods = until(lambda name=name: self._kube.get("pods", "", name)["items"], f"a Pod in {name}")  # type: ignore[misc]
            listed = _listed(self._kube.get("deployment", f"{name}-api", name))
            copy = self._installation.secret_of(name)
            managed = copy["metadata"]["labels"]["app.kubernetes.io/managed-by"]
            answer = self._review(namespace=name, half="mutate", kind="Deployment")
            rows[name] = (f"[green]by {managed}", f"[green]{_listed(pods[0])}", answer["reason"])
            _expect(listed == _listed(pods[0]) == "ghcr-secret", f"{name} pulls with ghcr-secret")
            _expect(
                base64.b64decode(copy["data"][".dockerconfigjson"]) == payload(), f"{name} has the central credentials"
            )
        self._show_namespaces(rows)
        return "7 of 7 pull with their copy"

    def _show_namespaces(self, rows: Mapping[str, tuple[str, str, str]]) -> None:
        table = Table("namespace", "ghcr-secret", "the Pod pulls with", "the webhook's reason", box=box.SIMPLE_HEAD)
        for name, cells in rows.items():
            table.add_row(name, *cells)
        self._screen.print(table)

    def _again(self) -> str:
        manifest = deployment("my-api", "my", "ghcr.io/sesacthon/my-api:latest")
        _expect("unchanged" in self._show("apply", "-f", "-", stdin=json.dumps(manifest)), "apply says unchanged")
        self._show("diff", "-f", "-", stdin=json.dumps(manifest))
        return "unchanged; kubectl diff exits 0"

    def _reject(self) -> str:
        self._installation.namespace("by-hand", {"ghcr-pull-secrets.io/inject": "false"})
        manifest = deployment("auth-api", "by-hand", "ghcr.io/sesacthon/auth-api:latest")
        said = self._refused("apply", "-f", "-", stdin=json.dumps(manifest))
        _expect("denied the request: Deployment by-hand/auth-api would pull" in said, "kubectl prints why")
        _expect("To fix it, add" in said, "kubectl prints what fixes it")
        _expect(not self._kube.exists("deployment", "auth-api", "by-hand"), "nothing was admitted")
        return "denied, with what fixes it"

    def _foreign(self) -> str:
        self._installation.namespace("foreign")
        self._kube.apply(secret_manifest("foreign", b'{"auths": {"ghcr.io": {"auth": "not base64"}}}'))
        before = self._installation.secret_of("foreign")
        manifest = deployment("auth-api", "foreign", "ghcr.io/sesacthon/auth-api:latest")
        said = self._refused("apply", "-f", "-", stdin=json.dumps(manifest))
        _expect("Secret foreign/ghcr-secret is malformed" in said, "the Secret is named")
        _expect(self._installation.secret_of("foreign") == before, "the Secret is untouched")
        return "denied; the Secret is byte for byte as it was"

    def _elsewhere(self) -> str:
        images = {"web": "docker.io/nginx:1.27", "last": "ghcr.io/sesacthon/last:1"}
        for name, image in images.items():
            self._kube.apply(deployment(name, "info", image))
        # The second one's last review has been answered: one of the first would have come before it.
        self._review(namespace="info", name="last", half="validate")
        table = Table("Deployment", "image", "calls of the webhook", "lists", box=box.SIMPLE_HEAD)
        for name, image in images.items():
            calls = [answer["half"] for answer in self._reviews(namespace="info", name=name)]
            listed = _listed(self._kube.get("deployment", name, "info"))
            table.add_row(name, image, ", ".join(calls) or "none", listed or "nothing")
            _expect(bool(calls) == (name == "last"), f"the webhook is called for {name} as it should")
        self._screen.print(table)
        return "no call of the webhook"

    def _dry_run(self) -> str:
        self._installation.namespace("dry")
        manifest = deployment("auth-api", "dry", "ghcr.io/sesacthon/auth-api:latest")
        command = ("apply", "-f", "-", "--dry-run=server", "-o", "json")
        shown = json.loads(self._kube(*command, stdin=json.dumps(manifest)).out)
        added = {"imagePullSecrets": pod_spec_of(shown).get("imagePullSecrets", [])}
        patched = "".join(f"+ {line}\n" for line in yaml.safe_dump(added).splitlines())
        self._screen.print(_panel(command, f"  spec.template.spec:\n{patched}".rstrip(), "green"))
        self._show("get", "secrets,deployments", "-n", "dry")
        _expect(_listed(shown) == "ghcr-secret", "the patch is shown")
        _expect(not self._kube.exists("secret", "ghcr-secret", "dry"), "no Secret was made")
        return "patched on paper, no Secret made"

    def _wait(self) -> str:
        _expect(self._kubelet_pulls() == "ImagePullBackOff", "the Pod cannot be pulled")
        self._show("get", "pods", "-n", WAITING, colour="red")
        begun = time.monotonic()
        controller = self._installation.start_controller()
        until(lambda: "ghcr_pull_secrets_leading 1.0" in controller.ops("/metrics")[1], "the controller leads")
        until(lambda: self._kubelet_pulls() == "Running", "the kubelet's next try succeeds", every_s=0.2)
        self._show("get", "pods", "-n", WAITING, colour="green")
        return f"Running {time.monotonic() - begun:.1f} s after the controller's start, no hand on it"

    def _kubelet_pulls(self) -> str:
        """Do as a kubelet at its next try: with a credential the Pod runs, without one its back-off goes on."""
        pod = self._kube.get("pod", f"{WAITING}-api", WAITING)
        usable = any(self._kube.exists("secret", each["name"], WAITING) for each in pod["spec"]["imagePullSecrets"])
        container = {"name": "c0", "image": pod["spec"]["containers"][0]["image"], "imageID": "", "restartCount": 0}
        if usable:
            state = {"ready": True, "started": True, "state": {"running": {}}}
        else:
            state = {"ready": False, "state": {"waiting": {"reason": "ImagePullBackOff"}}}
        status = {"phase": "Running" if usable else "Pending", "containerStatuses": [{**container, **state}]}
        patch = json.dumps({"status": status})
        self._kube("patch", "pod", f"{WAITING}-api", "-n", WAITING, "--subresource=status", "--type=merge", "-p", patch)
        return "Running" if usable else "ImagePullBackOff"

    def _rotate(self) -> str:
        new = payload(token="ghp_CANARYcanaryROTATED789canaryCANARY42")
        watched = {name: self._watch(name) for name in NAMES}
        begun = time.monotonic()
        self._installation.set_central(new)
        written = time.monotonic()
        for name, copy in watched.items():
            until(lambda copy=copy: copy() == new, f"the copy of {name} follows", every_s=0.005)  # type: ignore[misc]
        took = time.monotonic() - written
        self._screen.print(
            f"kubectl apply of the central secret: {written - begun:.2f} s; the last of 7 copies equal {took:.2f} s later"
        )
        until(lambda: "CopyUpdated" in self._kube("get", "events", "-n", "my").out, "the Event is there")
        columns = "custom-columns=REASON:.reason,OBJECT:.involvedObject.name,MESSAGE:.message"
        self._show("get", "events", "-n", "my", "--field-selector=reason=CopyUpdated", "-o", columns)
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
        took = time.monotonic() - begun
        self._show("get", "secret", "ghcr-secret", "-n", "chat", colour="green")
        return f"back within {took:.2f} s"

    def _check(self) -> str:
        out = {"ghcr-pull-secrets.io/inject": "false"}
        manifests = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "by-hand", "labels": out}},
            deployment("auth-api", "by-hand", "ghcr.io/sesacthon/auth-api:latest"),
            deployment("my-api", "my", "ghcr.io/sesacthon/my-api:latest"),
        ]
        code, said = self._ours("check", "-", stdin="---\n".join(yaml.safe_dump(each) for each in manifests))
        _expect(
            code == 1 and "Deployment by-hand/auth-api   not_listed" in said, "the first is found, as the webhook said"
        )
        _expect("1 would be injected, 1 rejected" in said, "the second is fine")
        return "one finding, with its line and what fixes it"

    def _doctor(self) -> str:
        # The servers of the demo serve from files; in a cluster the certificate is in a Secret.
        certificate = (self._installation.path / "tls" / "tls.crt").read_bytes()
        name = f"{self._installation.configurations[0]['metadata']['name']}-webhook-tls"
        data = {"tls.crt": base64.b64encode(certificate).decode()}
        metadata = {"name": name, "namespace": RELEASE_NAMESPACE}
        self._kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        image = "ghcr.io/sesacthon/scan-api:latest"
        self._kube.apply(workload("Pod", name="scan-api", namespace=WAITING, images=[image], secrets=["ghcr-secret"]))
        refused = "https://ghcr.io/v2/sesacthon/scan-api/manifests/latest: 403 Forbidden"
        message = f"failed to resolve image: unexpected status from HEAD request to {refused}"
        state = {"waiting": {"reason": "ErrImagePull", "message": message}}
        container = {"name": "c0", "image": image, "imageID": "", "restartCount": 0, "ready": False, "state": state}
        patch = json.dumps({"status": {"phase": "Pending", "containerStatuses": [container]}})
        self._kube("patch", "pod", "scan-api", "-n", WAITING, "--subresource=status", "--type=merge", "-p", patch)
        code, said = self._ours("doctor", "-A", "--kubeconfig", str(self._kube.kubeconfig))
        (row,) = [line for line in said.splitlines() if "Pod/scan-api" in line]
        _expect(code == 1 and row.startswith("✗") and "credential_no_access" in row, "the Pod is found, and why")
        _expect(
            ("✓ copies" in said and "✓ controller" in said) or self._installation.plane.name != "stand-in",
            "what stands behind it is healthy",
        )
        return "credential_no_access, with what fixes it"

    # --- how it is shown

    def _ours(self, *args: str, stdin: str = "") -> tuple[int, str]:
        """Run our own command, and show what it says."""
        command = [sys.executable, "-m", "webhook", *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        said = (done.stdout + done.stderr).strip()
        shown = [each for each in args if not each.startswith("/") and each != "--kubeconfig"]
        self._screen.print(_panel(("ghcr-pull-secrets", *shown), said, "none"))
        return done.returncode, said

    def _show(self, *args: str, stdin: str | None = None, colour: str = "none") -> str:
        said = self._kube(*args, stdin=stdin).text.strip()
        self._screen.print(_panel(args, said, colour))
        return said

    def _refused(self, *args: str, stdin: str) -> str:
        said = self._kube(*args, stdin=stdin, ok=False).text.strip()
        self._screen.print(_panel(args, said, "red"))
        return said

    def _reviews(self, **wanted: str) -> list[dict[str, Any]]:
        records = [json.loads(line) for server in self._installation.servers for line in server.lines]
        answered = [record for record in records if record.get("event") == "review_answered"]
        return [each for each in answered if all(each.get(key) == value for key, value in wanted.items())]

    def _review(self, **wanted: str) -> dict[str, Any]:
        return until(lambda: self._reviews(**wanted), f"a review of {wanted}")[0]


_TITLE: Final = 70
"""Longest command that fits into a frame of 80 columns; a longer one would be cut, and stands within."""


def _panel(command: Iterable[str], said: str, colour: str) -> Panel:
    # As plain text: what kubectl prints has brackets of its own.
    body = Text(said or "(nothing)", style="" if colour == "none" else colour)
    title: str | None = f"kubectl {' '.join(command)}"
    if title and len(title) > _TITLE:
        body, title = Text.assemble((f"$ {title}\n", "bold"), body), None
    return Panel(body, title=title, title_align="left", border_style=colour)


def _listed(manifest: Mapping[str, Any]) -> str:
    return ", ".join(entry["name"] for entry in pod_spec_of(dict(manifest)).get("imagePullSecrets", []))


def _expect(told: bool, what: str) -> None:
    if not told:
        raise AssertionError(f"not so: {what}")
