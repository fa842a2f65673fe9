"""What is in the image and what is not, seen from within a container."""

import importlib.metadata
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.image.engines import MOUNT, REPOSITORY, Image
from tests.objects import workload
from webhook.core.names import INJECT_KEY

_CONTROLLER_AND_SERVER = (
    "import webhook.server.serve, webhook.cli.controller_process, webhook.cli.release, webhook.cluster.hooks"
)


def test_help_names_the_commands_of_the_chart(image: Image) -> None:
    status, output = image.run("--help")
    assert status == 0, output
    assert {"serve", "controller", "cleanup"} <= set(output.split())


@pytest.mark.parametrize("command", ["serve", "controller", "cleanup", "helm-test", "helm-stop"])
def test_each_command_of_the_chart_explains_its_flags(image: Image, command: str) -> None:
    status, output = image.run(command, "--help")
    assert status == 0, output
    assert "--kubeconfig" in output


def test_check_reads_a_mounted_folder_and_standard_input_as_the_images_user(image: Image, folder: Path) -> None:
    pod = yaml.safe_dump(workload("Pod"))
    out = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "auth", "labels": {INJECT_KEY: "false"}}}
    (folder / "pod.yaml").write_text(pod)
    (folder / "namespace.yaml").write_text(yaml.safe_dump(out))

    assert image.run("check", MOUNT, folder=folder)[0] == 1
    status, output = image.run("check", "--output", "json", MOUNT, folder=folder)
    (found,) = json.loads(output)["findings"]
    assert (status, found["reason"], found["file"]) == (1, "not_listed", f"{MOUNT}/pod.yaml")

    status, output = image.run("check", "-", stdin=pod)
    assert (status, "1 would be injected" in output) == (0, True), output
    status, output = image.run("check", f"{MOUNT}/namespace.yaml", "-", folder=folder, stdin=pod)
    assert (status, "stdin:1" in output) == (1, True), output


def test_check_says_what_the_images_user_may_neither_read_nor_write(image: Image, folder: Path) -> None:
    (folder / "open.yaml").write_text(yaml.safe_dump(workload("Pod")))
    (folder / "closed.yaml").write_text("kind: Pod\n")
    (folder / "closed.yaml").chmod(0o600)
    (folder / "closed").mkdir(mode=0o700)

    status, output = image.run("check", "--no-assume-installed", "--fix", MOUNT, folder=folder)

    assert status == 2, output
    for name in ("closed.yaml", "closed"):
        assert f"{MOUNT}/{name}:1: cannot be read: permission denied" in output
    assert f"{MOUNT}/open.yaml: cannot be written: " in output
    assert "Traceback" not in output


def test_version_is_the_one_on_the_label(image: Image) -> None:
    status, output = image.run("--version")
    assert status == 0, output
    assert output.split()[-1] == image.config["Labels"]["org.opencontainers.image.version"]


def test_labels_say_what_it_is(image: Image) -> None:
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in image.config["Labels"].items()}
    assert labels["title"] == "ghcr-pull-secrets"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == importlib.metadata.version("ghcr-pull-secrets")
    assert labels["source"].startswith("https://")
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[-+]\d\d:\d\d)", labels["created"])
    assert labels["description"]


def test_user_is_numeric_and_entrypoint_is_no_shell(image: Image) -> None:
    assert image.config["User"] == "65532:65532"
    assert image.config["Entrypoint"] == ["ghcr-pull-secrets"]
    assert not image.config.get("Cmd")


def test_runs_without_root_capabilities_or_a_way_to_them(image: Image) -> None:
    found = image.python(
        "import json, os;"
        "status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line);"
        "print(json.dumps([os.getresuid(), os.getresgid(), os.getpid(),"
        " *(int(status[name], 16) for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb', 'NoNewPrivs'))]))"
    )
    assert found == [[65532] * 3, [65532] * 3, 1, 0, 0, 0, 0, 1]


def test_only_shared_memory_can_be_written(image: Image) -> None:
    assert image.python(
        "import json, os\n"
        "writable = []\n"
        "for folder, folders, _ in os.walk('/'):\n"
        "    folders[:] = [name for name in folders if os.path.join(folder, name) != '/proc']\n"
        "    path = os.path.join(folder, 'x')\n"
        "    try:\n"
        "        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))\n"
        "    except OSError:\n"
        "        continue\n"
        "    writable.append(folder)\n"
        "print(json.dumps(writable))"
    ) in (["/dev/shm"], ["/dev/mqueue", "/dev/shm"], ["/dev/shm", "/dev/mqueue"])


def test_no_shell_can_be_started_here(image: Image) -> None:
    # Holds for the tests of this folder, not for the image: what they see working needs no shell.
    status, output = image.run(
        "-c", "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])", entrypoint="python"
    )
    assert status == 1
    assert "PermissionError" in output


def test_neither_compiler_nor_installer_is_there(image: Image) -> None:
    tools = r"(\w+-linux-gnu-)?(gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|cargo|rustc)(-\d+)?|(pip|easy_install|uv)[\d.]*"
    modules = r"(pip|setuptools|ensurepip|wheel)(-[\d.]+\.dist-info|[-\w.]+\.whl)?"
    assert (
        image.python(
            "import json, os, re\n"
            "found = []\n"
            "for folder, folders, files in os.walk('/'):\n"
            "    folders[:] = [name for name in folders if os.path.join(folder, name) not in ('/proc', '/sys', '/dev')]\n"
            f"    named = {tools!r} if folder.endswith('bin') else {modules!r} if 'python' in folder else '(?!)'\n"
            "    found += [os.path.join(folder, name) for name in folders + files if re.fullmatch(named, name)]\n"
            "print(json.dumps(found))"
        )
        == []
    )


def test_what_is_installed_is_what_is_locked(image: Image) -> None:
    lock = (REPOSITORY / "requirements" / "runtime.txt").read_text()
    locked = {_normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)}
    installed = image.python(
        "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    )
    ours = installed.pop("ghcr-pull-secrets")
    assert ours == importlib.metadata.version("ghcr-pull-secrets")
    assert installed
    assert {_normal(name): version for name, version in installed.items()}.items() <= locked.items()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_source_is_compiled_at_start(image: Image) -> None:
    # On a read-only root filesystem it would be compiled again at every start.
    assert (
        image.python(
            f"{_CONTROLLER_AND_SERVER}\n"
            "import json, os, sys\n"
            "specs = [module.__spec__ for module in list(sys.modules.values()) if getattr(module, '__spec__', None)]\n"
            "print(json.dumps([s.name for s in specs if s.has_location and s.cached and not os.path.exists(s.cached)]))"
        )
        == []
    )


def test_the_clients_generated_parts_and_its_asynchronous_twin_are_left_out(image: Image) -> None:
    left = image.python(
        "import importlib.util, json, pathlib\n"
        "import kubernetes.client\n"
        "client = pathlib.Path(kubernetes.client.__file__).parent\n"
        "found = [path.name for part in ('api', 'models') for path in (client / part).glob('[a-z]*.py')]\n"
        "names = ('aiohttp', 'yarl', 'multidict', 'kubernetes.aio')\n"
        "print(json.dumps(found + [name for name in names if importlib.util.find_spec(name)]))"
    )
    assert left == []


def test_public_certificate_authorities_are_trusted(image: Image) -> None:
    # The credential check asks the registry over HTTPS.
    assert image.python("import json, ssl; print(json.dumps(len(ssl.create_default_context().get_ca_certs())))") > 50


def test_our_part_stays_small(image: Image) -> None:
    app, everything = image.python(
        "import json, os, sys\n"
        "def size(root):\n"
        "    walked = ((folder, folders, files) for folder, folders, files in os.walk(root)"
        " if not folder.startswith(('/proc', '/sys', '/dev')))\n"
        "    found = (os.lstat(os.path.join(folder, name)) for folder, _, files in walked for name in files)\n"
        "    return sum({(each.st_dev, each.st_ino): each.st_size for each in found}.values())\n"
        "print(json.dumps([size('/app'), size('/')]))"
    )
    print(f"{image.name}: {everything / 1e6:.0f} MB, {app / 1e6:.0f} MB of them on top of the base")
    assert app < 80e6
