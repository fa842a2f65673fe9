"""What rotation at a real API server is compared with: 16 threads, each with one connection, patching the same Secrets."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.bench.harness import namespace_name
from webhook.core.names import SECRET_NAME

THREADS = 16


def main() -> None:
    """Patch so many Secrets with the content given; print the seconds it took."""
    kubeconfig, count, content = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    config = yaml.safe_load(Path(kubeconfig).read_text())
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    address = urlsplit(cluster["server"])
    body = json.dumps({"data": {".dockerconfigjson": base64.b64encode(content.encode()).decode()}})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
    ready, failed = threading.Barrier(THREADS + 1), []

    def patch(first: int) -> None:
        connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=60, context=context)
        connection.connect()  # before the clock starts, as the controller's connections are
        ready.wait()
        for index in range(first, count, THREADS):
            path = f"/api/v1/namespaces/{namespace_name(index)}/secrets/{SECRET_NAME}"
            connection.request("PATCH", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failed.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=patch, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    print(time.perf_counter() - begun)
    if failed:
        sys.exit(f"{len(failed)} patches failed, the first with {failed[0]}")


if __name__ == "__main__":
    main()
