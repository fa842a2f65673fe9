"""The pages of docs/ and their commands, and a cluster in which to run them."""

from typing import Any

from tests.docs import commands
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.release import Release
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY

PAGES = sorted(commands.DOCS.glob("*.md"))

SHELL = [block for page in PAGES for block in commands.blocks(page) if block.info.startswith("sh")]
"""All of their shell commands."""

NEW_TOKEN = "ghp_CANARYcanaryROTATED456canaryCANARY42"


def runnable(page: str) -> list[commands.Block]:
    """List the blocks of a page that a test runs."""
    return [block for block in SHELL if block.page == page and block.info == "sh run"]


WITH_OPERATOR = next(block for block in runnable("install.md") if "externalSecret" in block.text)

BY_HAND = [block for block in runnable("install.md") if block != WITH_OPERATOR]


def run(cluster: Release, block: commands.Block, *, token: str = NEW_TOKEN) -> str:
    """Run a block; whoever asks for a token is given one."""
    return commands.run(block.text, cluster.kube.kubeconfig, stdin=f"{token}\n")


def play(page: str, cluster: Release) -> str:
    """Run the blocks of a page in order."""
    return "\n".join(run(cluster, block) for block in runnable(page))


def serve(cluster: Release, definition: dict[str, Any], plural: str) -> None:
    """Have the API server know a kind that others bring."""
    cluster.kube.apply(definition)
    until(lambda: cluster.kube("get", plural, "-A", ok=None).code == 0, f"{plural} are served")


def install(cluster: Release) -> Release:
    """Make what the pages take to be there: the release as install.md makes it, two workloads with their copies, a Secret
    made by hand."""
    for block in BY_HAND[:2]:
        run(cluster, block, token=CANARY)
    until(cluster.ready, "the servers are ready", timeout_s=60)
    for name in ("auth", "given"):
        cluster.namespace(name)
        cluster.kube("create", "deployment", "auth-api", "-n", name, "--image=ghcr.io/sesacthon/auth-api:latest")
    cluster.kube.apply(secret_manifest(cluster.namespace("by-hand")))
    return cluster
