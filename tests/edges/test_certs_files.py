"""Files that change together, on a real file system."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from certs.files import DATA, NotAFileNameError, current_generation, write_file, write_pair

pytestmark = pytest.mark.processes


def generations(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.glob("..2*"))


def pair(number: int) -> dict[str, bytes]:
    # Long enough that a write in place would be seen half done.
    return {"tls.crt": b"%09d" % number * 2000, "tls.key": b"%09d" % number * 2000}


def test_files_are_readable_by_name_and_by_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "tls"
    assert write_pair(directory, {"tls.crt": b"certificate", "tls.key": b"key"})
    assert (directory / "tls.crt").read_bytes() == b"certificate"
    assert (directory / "tls.key").read_bytes() == b"key"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "tls.key").stat().st_mode) == 0o600


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    write_pair(tmp_path, pair(1))
    before = current_generation(tmp_path)
    assert not write_pair(tmp_path, pair(1))
    assert current_generation(tmp_path) == before


def test_only_the_current_generation_and_the_one_before_it_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        assert write_pair(tmp_path, pair(number))
    assert len(generations(tmp_path)) == 2
    assert (tmp_path / "tls.key").read_bytes() == pair(4)["tls.key"]


def test_a_reader_that_resolved_a_generation_can_open_it_after_the_next_one_came(tmp_path: Path) -> None:
    write_pair(tmp_path, pair(1))
    resolved = current_generation(tmp_path)
    assert resolved is not None
    write_pair(tmp_path, pair(2))
    assert (resolved / "tls.key").read_bytes() == pair(1)["tls.key"]


def test_a_file_no_longer_named_goes_and_what_others_put_there_stays(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("of somebody else")
    (tmp_path / "elsewhere").symlink_to("README")
    write_pair(tmp_path, {"tls.crt": b"1", "ca.crt": b"1"})
    write_pair(tmp_path, {"tls.crt": b"2"})
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == [
        "README",
        "elsewhere",
        "tls.crt",
    ]


def test_plain_files_in_the_way_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_bytes(b"by hand")
    write_pair(tmp_path, pair(1))
    assert (tmp_path / "tls.crt").read_bytes() == pair(1)["tls.crt"]


def test_a_link_that_was_removed_comes_back(tmp_path: Path) -> None:
    write_pair(tmp_path, pair(1))
    (tmp_path / "tls.key").unlink()
    assert write_pair(tmp_path, pair(1))
    assert (tmp_path / "tls.key").read_bytes() == pair(1)["tls.key"]


def test_a_generation_that_somebody_spoilt_is_replaced(tmp_path: Path) -> None:
    write_pair(tmp_path, pair(1))
    generation = current_generation(tmp_path)
    assert generation is not None
    (generation / "tls.key").unlink()
    (generation / "tls.key").mkdir()
    assert write_pair(tmp_path, pair(1))
    assert (tmp_path / "tls.key").read_bytes() == pair(1)["tls.key"]


def test_before_the_first_write_there_is_no_generation(tmp_path: Path) -> None:
    assert current_generation(tmp_path) is None


def test_a_generation_that_is_gone_is_replaced(tmp_path: Path) -> None:
    (tmp_path / DATA).symlink_to("..gone")
    assert write_pair(tmp_path, pair(1))
    assert (tmp_path / "tls.crt").read_bytes() == pair(1)["tls.crt"]


@pytest.mark.parametrize("name", ["", ".", "..data", "../tls.crt", "a/b"])
def test_a_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotAFileNameError) as caught:
        write_pair(tmp_path, {name: b""})
    assert caught.value.name == name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["open", "fsync", "symlink", "replace"])
def test_a_crash_at_any_point_leaves_one_whole_set_and_the_next_write_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A crash is a call that does not return: a BaseException, which no clean-up for errors handles."""

    class Crash(BaseException):
        pass

    write_pair(tmp_path, pair(0))
    real = getattr(os, call)
    number = 0
    crashed = True
    while crashed:
        number += 1
        left = number

        def dies(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, dies)
            try:
                write_pair(tmp_path, pair(number))
                crashed = False
            except Crash:
                pass
        assert (tmp_path / "tls.crt").read_bytes() == (tmp_path / "tls.key").read_bytes()
        assert (tmp_path / "tls.crt").read_bytes() in (pair(number)["tls.crt"], pair(number - 1)["tls.crt"])
        write_pair(tmp_path, pair(number))
        assert (tmp_path / "tls.crt").read_bytes() == pair(number)["tls.crt"]
    write_pair(tmp_path, pair(number + 1))
    assert number > 1
    assert len(list(tmp_path.glob("..*"))) == 3


def test_a_full_disk_leaves_the_old_files_and_nothing_of_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pair(tmp_path, pair(1))
    write_file(tmp_path / "alone", b"old", private=True)
    before = sorted(tmp_path.iterdir())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_pair(tmp_path, pair(2))
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "alone", b"new", private=True)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "tls.crt").read_bytes() == pair(1)["tls.crt"]
    assert (tmp_path / "alone").read_bytes() == b"old"


def test_a_reader_that_resolves_once_never_sees_a_certificate_with_another_key(tmp_path: Path) -> None:
    write_pair(tmp_path, pair(0))
    stop = threading.Event()
    seen: list[tuple[bytes, bytes]] = []

    def read() -> None:
        while not stop.is_set():
            generation = current_generation(tmp_path)
            assert generation is not None
            try:
                seen.append(((generation / "tls.crt").read_bytes(), (generation / "tls.key").read_bytes()))
            except FileNotFoundError:
                continue  # two writes since it resolved: it resolves again

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        write_pair(tmp_path, pair(number))
    stop.set()
    reader.join()
    assert len({certificate for certificate, _ in seen}) > 1
    assert all(certificate == key for certificate, key in seen)


def test_writers_take_turns(tmp_path: Path) -> None:
    def write(offset: int) -> None:
        for number in range(20):
            write_pair(tmp_path, pair(offset + number))

    writers = [threading.Thread(target=write, args=(offset,)) for offset in (0, 1000, 2000, 3000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "tls.crt").read_bytes() == (tmp_path / "tls.key").read_bytes()
    assert len(generations(tmp_path)) == 2


def test_a_single_file_gets_its_mode_even_if_it_replaces_a_more_open_one(tmp_path: Path) -> None:
    path = tmp_path / "ca.key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_file(path, b"new", private=True)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["ca.key"]
