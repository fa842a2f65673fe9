"""The built image, run as the chart's Pods run it.

As the image's own user, with no capability and no way to get one, all of the root filesystem read-only but `/dev/shm`,
and with the shells covered up: nothing may need one. The network is the host's, so that the API server of a test is on
loopback for both.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.e2e.machinery.waiting import until

REPOSITORY: Final = Path(__file__).resolve().parents[2]
MOUNT: Final = "/mnt"
"""Where a container sees the folder it is given."""

_SHELLS: Final = ("/usr/bin/bash", "/usr/bin/dash")


class Container(ABC):
    """A running container, its output kept line by line.

    Args:
        command: Runs it in the foreground, and exits as its process 1 does.
        stdin: What it reads, less than a pipe holds; `None` for nothing.
    """

    def __init__(self, command: Sequence[str], stdin: str | None = None) -> None:
        self.lines: list[str] = []
        given = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        self._popen = subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if self._popen.stdin is not None:
            with self._popen.stdin as pipe:
                pipe.write(stdin or "")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @abstractmethod
    def terminate(self) -> None:
        """Send SIGTERM to its process 1."""

    @abstractmethod
    def kill(self) -> None:
        """End it, whatever it does."""

    @property
    def output(self) -> str:
        """All it has printed."""
        return "\n".join(self.lines)

    @property
    def ended(self) -> bool:
        """Whether its process 1 is gone."""
        return self._popen.poll() is not None

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        code = self._popen.wait(timeout_s)
        self._reader.join(5)
        return code

    def close(self) -> None:
        """End it if it still runs."""
        try:
            if not self.ended:
                self.kill()
        finally:
            # The command ends with its container; if the engine cannot tell it so, it ends alone.
            try:
                self._popen.wait(30)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
            self._reader.join(5)
            if self._popen.stdout is not None:
                self._popen.stdout.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))


class Image(ABC):
    """A built image.

    Args:
        name: As the engine knows it.

    Attributes:
        config: `User`, `Env`, `Entrypoint`, `Labels` and so on, as in its OCI configuration.
    """

    config: Mapping[str, Any]

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    @abstractmethod
    def start(
        self,
        arguments: Sequence[str],
        *,
        entrypoint: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: str | None = None,
    ) -> Container:
        """Start a container.

        Args:
            arguments: After the entrypoint.
            entrypoint: Instead of the image's own.
            environment: Added to the image's own.
            folder: What is to be seen, read-only, at `MOUNT`.
            stdin: As of `Container`.
        """

    def run(
        self,
        *arguments: str,
        entrypoint: str | None = None,
        folder: Path | None = None,
        stdin: str | None = None,
        timeout_s: float = 60,
    ) -> tuple[int, str]:
        """Run a container to its end and return its exit code and output."""
        container = self.start(arguments, entrypoint=entrypoint, folder=folder, stdin=stdin)
        try:
            return container.wait(timeout_s), container.output
        finally:
            container.close()

    def python(self, code: str) -> Any:
        """Run Python code in a container and return what it printed, read as JSON."""
        status, output = self.run("-c", code, entrypoint="python")
        assert status == 0, output
        return json.loads(output)


class Docker(Image):
    """An image of a docker engine."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        (found,) = json.loads(_output("docker", "image", "inspect", name))
        self.config = found["Config"]

    def start(
        self,
        arguments: Sequence[str],
        *,
        entrypoint: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: str | None = None,
    ) -> Container:
        name = f"image-test-{uuid.uuid4()}"
        options = ["--name", name, "--rm", "--network", "host", "--read-only"]
        options += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        options += [f"--env={key}={value}" for key, value in (environment or {}).items()]
        options += [f"--volume=/dev/null:{shell}:ro" for shell in _SHELLS]
        if folder is not None:
            options.append(f"--volume={folder}:{MOUNT}:ro")
        if entrypoint is not None:
            options.append(f"--entrypoint={entrypoint}")
        if stdin is not None:
            options.append("--interactive")
        return _DockerContainer(["docker", "run", *options, self.name, *arguments], name, stdin)


class _DockerContainer(Container):
    def __init__(self, command: Sequence[str], name: str, stdin: str | None) -> None:
        self._name = name
        super().__init__(command, stdin)

    def terminate(self) -> None:
        _output("docker", "kill", "--signal", "TERM", self._name)

    def kill(self) -> None:
        # It may be gone by now, with --rm.
        subprocess.run(["docker", "rm", "--force", self._name], capture_output=True, timeout=120, check=False)


class Buildah(Image):
    """An image of `scripts/build-image` without docker, run in namespaces of its own with util-linux; needs root."""

    _STORAGE: Final = (
        "--storage-driver=vfs",
        f"--root={REPOSITORY / 'build' / 'containers' / 'storage'}",
        f"--runroot={REPOSITORY / 'build' / 'containers' / 'run'}",
    )

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.config = json.loads(self._buildah("inspect", "--type=image", name))["OCIv1"]["config"]

    def __enter__(self) -> Self:
        self._working = self._buildah("from", "--pull-never", self.name)
        try:
            self._root = Path(self._buildah("mount", self._working))
        except BaseException:
            self._buildah("rm", self._working)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._buildah("rm", self._working)

    def _buildah(self, *arguments: str) -> str:
        return _output("buildah", *self._STORAGE, *arguments)

    def start(
        self,
        arguments: Sequence[str],
        *,
        entrypoint: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: str | None = None,
    ) -> Container:
        variables = [*self.config["Env"], *(f"{key}={value}" for key, value in (environment or {}).items())]
        command = [entrypoint] if entrypoint is not None else self.config["Entrypoint"]
        # no-new-privs and another user than root: no capability is left, and none comes back.
        inside = [_tool("env"), "-i", *variables, _tool("setpriv"), "--no-new-privs"]
        inside += [_tool("chroot"), f"--userspec={self.config['User']}", "--groups=", str(self._root)]
        unshare = [_tool("unshare"), "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        prepare = [_tool("sh"), "-euc", _PREPARE, str(self._root), str(folder or "")]
        return _Namespaces([*unshare, *prepare, *inside, *command, *arguments], stdin)


# What a container runtime does before it starts process 1. The mounts are seen by that process alone and go with it.
_PREPARE: Final = f"""
root=$0 folder=$1
shift
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
mount -o remount,ro "$root/dev"
for shell in {" ".join(_SHELLS)}; do
    if [ -e "$root$shell" ]; then mount --bind /dev/null "$root$shell"; fi
done
if [ -n "$folder" ]; then
    mount --bind "$folder" "$root{MOUNT}"
    mount -o remount,bind,ro "$root{MOUNT}"
fi
exec "$@"
"""


class _Namespaces(Container):
    def terminate(self) -> None:
        os.kill(self._first(), signal.SIGTERM)

    def kill(self) -> None:
        # Its child, process 1 of the container, gets SIGKILL too, and with that all of its namespace.
        self._popen.kill()

    def _first(self) -> int:
        children = Path(f"/proc/{self._popen.pid}/task/{self._popen.pid}/children")
        return int(until(lambda: children.read_text().split(), "the container has a process")[0])


def _tool(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found, f"there is no {name} to run the image with"
    return found


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command[:3])} …: {done.stderr}"
    return done.stdout.strip()
