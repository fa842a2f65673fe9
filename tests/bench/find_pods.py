"""Find the Pods that cannot pull, in a process of its own: `python -m tests.bench.find_pods KUBECONFIG`."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.objects import RULES
from webhook.cluster.connecting import connect_as_kubectl
from webhook.cluster.requests import Target, Verb
from webhook.doctor.model import Question
from webhook.doctor.pods import find_pod_groups
from webhook.ports import Deadline


def main(kubeconfig: str) -> None:
    """Print what was found, in how many seconds, and the largest resident set so far."""
    client = connect_as_kubectl(Path(kubeconfig), None, {}).client
    begun = time.perf_counter()
    question = Question(namespace="", rules=RULES, central=None, now=datetime.now(UTC))
    found = find_pod_groups(client, question, Deadline.after(300))
    seconds = time.perf_counter() - begun
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert peak is not None
    begun = time.perf_counter()
    token = ""
    while True:
        query = {"limit": "100"} | ({"continue": token} if token else {})
        page = client.read(Target(verb=Verb.LIST, resource="pods"), Deadline.after(60), bytes, query=query)
        match = re.search(rb'"continue": ?"([^"]+)"', page[:2000] + page[-2000:])
        if match is None:
            break
        token = match[1].decode()
    bare = time.perf_counter() - begun
    figures = {
        "pods": found.counts.pods,
        "groups": len(found.groups),
        "seconds": seconds,
        "bare": bare,
        "peak_mb": int(peak[1]) / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
