"""The kubelet's words: as recorded from a real one, and those of other runtimes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.objects import IMAGE
from tests.recordings import FILES, Recording, recordings
from webhook.core import advice, kubelet_words
from webhook.core.kubelet_words import MAX_MESSAGE, MAX_REASON, ContainerWaiting, Symptom, symptom

RECORDED = [recording for file in FILES for recording in recordings(file)]
ANONYMOUS = {
    "secret-absent", "not-listed", "init-container", "opaque", "other-host", "other-path", "empty", "empty-entry"
}  # fmt: skip
SYMPTOMS = {
    **dict.fromkeys(ANONYMOUS, Symptom.ANONYMOUS),
    "wrong-token": Symptom.REJECTED,
    "no-right-to-read": Symptom.DENIED,
    "missing-tag": Symptom.NOT_FOUND,
    "missing-repository": Symptom.NOT_FOUND,
    "bad-base64": Symptom.MALFORMED_SECRET,
    "no-colon": Symptom.MALFORMED_SECRET,
    "auths-a-string": Symptom.MALFORMED_SECRET,
    "capital-host": Symptom.UNREACHABLE,
    "invalid-image-name": Symptom.INVALID_NAME,
    "never": Symptom.NEVER_PULLED,
    "unknown-host": Symptom.UNREACHABLE,
    "pulled-then-crashes": Symptom.PULLED,
    "pulled-configmap-missing": Symptom.PULLED,
    "pulled-secret-missing": Symptom.PULLED,
}


def expected(recording: Recording) -> Symptom | None:
    if recording.file == FILES[1] and recording.case in ("missing-tag", "missing-repository"):
        return Symptom.UNREACHABLE  # that node did not trust the registry's certificate
    return SYMPTOMS.get(recording.case)


@pytest.mark.parametrize("recording", RECORDED, ids=lambda each: f"{each.file[15:-6]} {each.case}")
def test_every_recorded_status_is_understood(recording: Recording) -> None:
    met = {
        symptom(each, recording.image)
        for status in recording.statuses
        for each in kubelet_words.read(recording.pod(status))
    } - {Symptom.STARTING}

    assert met == ({expected(recording)} if expected(recording) else set())


def test_only_the_good_pod_of_the_recordings_has_nothing_to_report() -> None:
    assert {each.case for each in RECORDED if expected(each) is None} == {"good"}


def pulling(message: str, reason: str = "ErrImagePull") -> ContainerWaiting:
    return ContainerWaiting(place="containers", container="api", reason=reason, message=message)


@pytest.mark.parametrize(
    ("message", "met"),
    [
        (
            ('rpc error: code = Unknown desc = failed to pull and unpack image "ghcr.io/sesacthon/auth-api:latest": failed to '
            'resolve reference "ghcr.io/sesacthon/auth-api:latest": pull access denied, repository does not exist or may '
            "require authorization: server message: insufficient_scope: authorization failed"),
            Symptom.DENIED,
        ),
        ("no basic auth credentials", Symptom.ANONYMOUS),
        # CRI-O (containers/image)
        ("initializing source docker://ghcr.io/a/b:1: reading manifest 1 in ghcr.io/a/b: denied", Symptom.DENIED),
        ("initializing source docker://ghcr.io/a/b:1: reading manifest 1 in ghcr.io/a/b: unauthorized", Symptom.DENIED),
        (
            # With a credential that is not accepted, and without any: a 401 of the token endpoint.
            "initializing source docker://ghcr.io/a/b:1: unable to retrieve auth token: invalid username/password: unauthorized",
            Symptom.NO_TOKEN,
        ),
        ("initializing source docker://ghcr.io/a/b:1: Requesting bearer token: received unexpected HTTP status: 403 Forbidden", Symptom.NO_TOKEN),
        ("initializing source docker://x/a/b:1: Requesting bearer token: invalid status code from registry 403 (Forbidden)", Symptom.NO_TOKEN),
        ("initializing source docker://x/a/b:1: Requesting bearer token: received unexpected HTTP status: 503 Service Unavailable", Symptom.FAILING),
        ('initializing source docker://x/a/b:1: Requesting bearer token: Get "https://x/token": dial tcp: i/o timeout', Symptom.UNREACHABLE),
        ("initializing source docker://x/a/b:1: too many requests to registry", Symptom.FAILING),
        ('initializing source docker://x/a/b:1: reading manifest 1 in x/a/b: StatusCode: 503, "<html>"', Symptom.FAILING),
        ('initializing source docker://x/a/b:1: reading manifest 1 in x/a/b: StatusCode: 403, "<html>"', Symptom.DENIED),
        ('initializing source docker://x/a/b:1: reading manifest 1 in x/a/b: StatusCode: 404, "<html>"', Symptom.NOT_FOUND),
        ("initializing source docker://x/a/b:1: pinging container registry x: received unexpected HTTP status: 502 Bad Gateway", Symptom.FAILING),
        (
            ('initializing source docker://x/a/b:1: (Mirrors also failed: [m.corp/a/b:1: pinging container registry m.corp: Get '
            '"https://m.corp/v2/": dial tcp: lookup m.corp: no such host]\n[n.corp/a/b:1: manifest unknown]): x/a/b:1: reading '
            "manifest 1 in x/a/b: denied"),
            Symptom.DENIED,
        ),
        ("initializing source docker://x/a/b:1: reading manifest 1 in x/a/b: manifest unknown", Symptom.NOT_FOUND),
        ("initializing source docker://x/a/b:1: pinging container registry x: Get \"https://x/v2/\": EOF", Symptom.UNREACHABLE),
        # Docker
        (
            ("Error response from daemon: pull access denied for ghcr.io/a/b, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied"),
            Symptom.DENIED,
        ),
        ("Error response from daemon: manifest for ghcr.io/a/b:1 not found: manifest unknown", Symptom.NOT_FOUND),
        ("Error response from daemon: error from registry: denied - permission_denied: read_package", Symptom.DENIED),
        ("Error response from daemon: error from registry: incorrect username or password", Symptom.REJECTED),
        ("Error response from daemon: received unexpected HTTP status: 502 Bad Gateway", Symptom.FAILING),
        # a registry in trouble
        ("failed to resolve image: unexpected status from HEAD request to https://x/v2/a/manifests/1: 503 Service Unavailable", Symptom.FAILING),
        ("failed to copy: httpReadSeeker: failed open: unexpected status code https://x/v2/a: 429 Too Many Requests", Symptom.FAILING),
        ("toomanyrequests: You have reached your pull rate limit.", Symptom.FAILING),
        # no connection, whatever it was for
        ('failed to fetch anonymous token: Get "https://ghcr.io/token": dial tcp: lookup ghcr.io: no such host', Symptom.UNREACHABLE),
        ('failed to do request: Head "https://ghcr.io/v2/": dial tcp 140.82.121.33:443: i/o timeout', Symptom.UNREACHABLE),
        ("failed to do request: proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused", Symptom.UNREACHABLE),
        ("something nobody has seen yet", Symptom.UNKNOWN),
        ("", Symptom.UNKNOWN),
    ],
)  # fmt: skip
def test_the_words_of_other_runtimes_are_understood(message: str, met: Symptom) -> None:
    assert symptom(pulling(message), IMAGE) is met


@pytest.mark.parametrize(
    "image", ["ghcr.io/a/b:503", "ghcr.io/denied/not-found:401", "ghcr.io/a/x509:latest", "ghcr.io/i/o"]
)
def test_the_image_is_no_word_of_the_kubelets(image: str) -> None:
    message = (
        f'failed to pull and unpack image "{image}": failed to resolve image: https://ghcr.io/v2/denied/manifests/503'
    )

    assert symptom(pulling(message), image) is Symptom.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "met"),
    [
        ("ContainerCreating", Symptom.STARTING),
        ("PodInitializing", Symptom.STARTING),
        ("", Symptom.STARTING),
        ("CrashLoopBackOff", Symptom.PULLED),
        ("RunContainerError", Symptom.PULLED),
        ("RegistryUnavailable", Symptom.UNREACHABLE),
        ("SignatureValidationFailed", Symptom.UNKNOWN),
        ("unexpected end of JSON input", Symptom.MALFORMED_SECRET),
        ("invalid character 'x' looking for beginning of value", Symptom.MALFORMED_SECRET),
        ("failed to get sandbox: whatever it is", Symptom.UNKNOWN),
    ],
)
def test_a_reason_can_be_enough(reason: str, met: Symptom) -> None:
    assert symptom(pulling("", reason), IMAGE) is met


@pytest.mark.parametrize(
    ("said", "met"),
    [
        (": dial tcp 140.82.121.33:443: connect: connection refused", Symptom.UNREACHABLE),
        (": Error response from daemon: received unexpected HTTP status: 503 Service Unavailable", Symptom.FAILING),
        (": Error response from daemon: unauthorized", Symptom.UNREACHABLE),
    ],
)
def test_a_registry_that_is_unavailable_may_have_answered(said: str, met: Symptom) -> None:
    message = f"image pull failed for ghcr.io/a/b because the registry is unavailable{said}"

    assert symptom(pulling(message, "RegistryUnavailable"), "ghcr.io/a/b") is met


def test_a_mirror_before_the_registry_itself_is_not_the_one_that_was_asked() -> None:
    mirror = 'pinging container registry m.corp: Get "https://m.corp/v2/": dial tcp: no such host'
    failed = f"initializing source docker://{IMAGE}: (Mirrors also failed: [m.corp/a:1: {mirror}]): {IMAGE}: reading manifest: denied"

    assert kubelet_words.other_host(pulling(failed), IMAGE) == ""
    assert kubelet_words.other_host(pulling(mirror), IMAGE) == "m.corp"


def test_what_is_read_of_a_status_has_a_bound() -> None:
    long = {"reason": "R" * 10_000, "message": "m" * 100_000}
    pod = {"status": {"containerStatuses": [{"name": "api", "state": {"waiting": long}}]}}

    [found] = kubelet_words.read(pod)

    assert (len(found.reason), len(found.message)) == (MAX_REASON, MAX_MESSAGE)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_waits_for_nothing(phase: str) -> None:
    status = {"phase": phase, "containerStatuses": [{"name": "api", "state": {"waiting": {"reason": "ErrImagePull"}}}]}

    assert kubelet_words.read({"status": status}) == ()


@pytest.mark.parametrize("status", [{}, None, {"containerStatuses": None}, {"containerStatuses": [{"name": "api"}]}])
def test_a_pod_without_a_word_of_its_kubelet_waits_for_nothing(status: object) -> None:
    assert kubelet_words.read({"status": status}) == ()


def test_a_container_that_has_done_its_work_twice_did_not_crash() -> None:
    done = {"name": "api", "state": {"terminated": {"exitCode": 0}}, "lastState": {"terminated": {"exitCode": 1}}}

    assert kubelet_words.read({"status": {"containerStatuses": [done]}}) == ()


@pytest.mark.parametrize(
    ("message", "host"),
    [
        ("unexpected status from HEAD request to https://mirror.corp:5000/v2/sesacthon/auth-api/manifests/latest?ns=ghcr.io: 403 Forbidden", "mirror.corp:5000"),
        ("unexpected status from HEAD request to https://cache.corp/v2/ghcr.io/sesacthon/auth-api/manifests/latest: 401 Unauthorized", "cache.corp"),
        ("unexpected status from HEAD request to https://cache.corp/proxy/sesacthon?ns=ghcr.io: 403 Forbidden", "cache.corp"),
        ("pulling from host mirror.corp failed with status code [manifests latest]: 403 Forbidden", "mirror.corp"),
        ("pulling from host ghcr.io failed with status code [manifests latest]: 403 Forbidden", ""),
        ("unexpected status from HEAD request to https://GHCR.IO:443/v2/sesacthon/auth-api/manifests/latest: 403 Forbidden", ""),
        ("unexpected status from GET request to https://auth.corp/token?scope=x&service=ghcr.io: 401 Unauthorized", ""),
        ("not found", ""),
    ],
)  # fmt: skip
def test_a_mirror_is_seen_by_the_address_that_was_asked(message: str, host: str) -> None:
    assert kubelet_words.other_host(pulling(message), IMAGE) == host


ANYTHING = st.text(max_size=200) | st.sampled_from(["ErrImagePull", "ImagePullBackOff", "https://x/v2/?ns=", '"', "\n"])


@given(reason=ANYTHING, message=st.lists(ANYTHING, max_size=8).map("".join), image=ANYTHING)
def test_whatever_a_status_says_it_is_read(reason: str, message: str, image: str) -> None:
    said = pulling(message, reason)

    assert symptom(said, image) in Symptom
    host = kubelet_words.other_host(said, image)
    assert len(host) <= 253
    assert host == "" or host.isprintable()
    assert kubelet_words.failing_image(message, (image,), "own") in (image, "own")
    assert kubelet_words.after_the_pull(said).startswith(reason)


def test_docker_hub_is_asked_by_another_name_and_is_no_mirror() -> None:
    said = pulling("HEAD request to https://registry-1.docker.io/v2/library/nginx/manifests/latest: 401 Unauthorized")

    assert kubelet_words.other_host(said, "nginx") == ""
    assert kubelet_words.other_host(said, "!") == ""


def test_the_failure_of_an_image_volume_is_reported_for_the_container_that_mounts_it() -> None:
    message = 'failed to pull and unpack image "ghcr.io/a/data:1": failed to resolve image: not found'

    assert (
        kubelet_words.failing_image(message, ("ghcr.io/a/app:1", "ghcr.io/a/data:1"), "ghcr.io/a/app:1")
        == "ghcr.io/a/data:1"
    )
    assert kubelet_words.failing_image(message, ("ghcr.io/a/data:1",), "ghcr.io/a/data:1") == "ghcr.io/a/data:1"
    assert kubelet_words.failing_image("not found", ("ghcr.io/a/data:1",), "ghcr.io/a/app:1") == "ghcr.io/a/app:1"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (
            pulling('configmap "auth-config" not found', "CreateContainerConfigError"),
            "CreateContainerConfigError, ConfigMap auth-config is missing",
        ),
        (
            pulling('secret "auth-secret" not found', "CreateContainerConfigError"),
            "CreateContainerConfigError, Secret auth-secret is missing",
        ),
        (
            pulling("couldn't find key URL in ConfigMap auth/auth-config", "CreateContainerConfigError"),
            "CreateContainerConfigError, ConfigMap auth/auth-config has no key URL",
        ),
        (pulling("back-off 5m0s restarting failed container", "CrashLoopBackOff"), "CrashLoopBackOff"),
        (ContainerWaiting(place="containers", container="api", crashed=True), "CrashLoopBackOff"),
    ],
)
def test_what_keeps_a_pulled_container_from_running_is_named(said: ContainerWaiting, text: str) -> None:
    assert kubelet_words.after_the_pull(said) == text


@pytest.mark.parametrize(
    ("elapsed", "since", "until"),
    [
        (0, 0, 3),
        (2, 2, 1),
        (3, 0, 12),
        (40, 25, 1),
        (100, 17, 64),
        (331, 0, 300),
        (340, 9, 291),
        (631, 0, 300),
        (-5, 0, 3),
    ],
)
def test_the_kubelet_pulls_at_growing_distances_and_then_every_five_minutes(
    elapsed: float, since: float, until: float
) -> None:
    assert advice.pull_times(elapsed, Symptom.ANONYMOUS) == (since, until)


def test_a_malformed_secret_is_read_again_within_fifteen_seconds() -> None:
    assert advice.pull_times(1000, Symptom.MALFORMED_SECRET) == (15, 15)
    assert advice.pull_times(5, Symptom.MALFORMED_SECRET) == (5, 15)
