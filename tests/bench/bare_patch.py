"""What rotation is compared with: 16 threads with the official client that patch the same Secrets, with no logic."""

import base64
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import kubernetes

from tests.bench.harness import namespace_name
from webhook.core.names import SECRET_NAME


def main() -> None:
    """Patch so many Secrets with the content given; print the seconds it took."""
    kubeconfig, count, content = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = 16
    api = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))
    body = {"data": {".dockerconfigjson": base64.b64encode(content.encode()).decode()}}

    def patch(index: int) -> None:
        api.patch_namespaced_secret(SECRET_NAME, namespace_name(index), body)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(patch, range(16)))  # connections are made before the clock starts, as the controller's are
        begun = time.perf_counter()
        list(pool.map(patch, range(count)))
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
