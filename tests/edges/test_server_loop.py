"""The event loop by itself: who may work on a connection, what becomes of it when something goes wrong, and in which thread."""

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.e2e.machinery.waiting import until
from tests.edges.server_double import HOST, Authority, write_pair
from webhook.core.vocabulary import DropCause
from webhook.server.accepting import Acceptor
from webhook.server.certificate import CertificateFiles
from webhook.server.connection import Connection, Drops, Ended, State
from webhook.server.connections import Connections, Waiting, eviction_order
from webhook.server.limits import FREE_BYTES, MIB, NAMESPACE_WAITING, SPARE_THREADS, WAIT_SECONDS, WAITING, Limits
from webhook.server.loop import Loop
from webhook.server.request import BadHead, Visit

LIMITS = Limits(threads=2, namespace_threads=1, body_bytes=MIB, buffered_bytes=MIB, document_bytes=MIB, connections=8)


@dataclass
class Line:
    head: int
    length: int = 0
    expects_continue: bool = False
    closing: bool = False

    def force_close(self) -> None:
        self.closing = True


class Echo:
    """Answers each head with `act`, or with its own length; `BadHead` for one that begins with `!`."""

    def __init__(self, act: Callable[[Visit], bytes] | None = None) -> None:
        self.act = act
        self.threads: list[str] = []

    def read_head(self, head: bytes, _address: Any) -> Line:
        if head.startswith(b"!"):
            raise BadHead(b"bad")
        return Line(len(head), int(head[1:8]) if head.startswith(b"+") else 0)

    def answer(self, request: Any, body: bytes, visit: Visit) -> tuple[bytes, bool]:
        self.threads.append(threading.current_thread().name)
        return (self.act(visit) if self.act else b"%d." % len(body)), request.closing


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks are not drawn: that takes longer than all the rest."""
    with capture_logs():
        yield


Running = Callable[..., tuple[Loop, int]]


@pytest.fixture
def running() -> Iterator[Running]:
    """Starts a loop, and does what the main thread does, until the test ends; gives the loop and its port."""
    over = threading.Event()
    begun: list[tuple[Loop, socket.socket, threading.Thread]] = []

    def run(
        http: Any,
        contexts: Callable[[], Any] = lambda: None,
        limits: Limits = LIMITS,
        drops: Drops | None = None,
    ) -> tuple[Loop, int]:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        listener.setblocking(False)
        loop = Loop(limits, [listener], contexts, http, drops or Drops())

        def tick() -> None:
            while not over.wait(0.05):
                loop.tick()
            loop.stop()

        loop.start()
        ticking = threading.Thread(target=tick, name="ticking")
        ticking.start()
        begun.append((loop, listener, ticking))
        return loop, listener.getsockname()[1]

    yield run
    over.set()
    for loop, listener, ticking in begun:
        ticking.join()
        until(lambda: not any(each.name.startswith("server-") for each in threading.enumerate()), "its threads end")
        for connection in list(loop._open._by_fd.values()):
            loop._open.close(connection)
        listener.close()
        loop._epoll.close()


def read_all(sock: socket.socket) -> bytes:
    sock.settimeout(10)
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_who_sends_several_requests_at_once_gets_one_answer(running: Running) -> None:
    http = Echo()
    loop, _ = running(http)
    with loop.inside() as peer:
        peer.sendall(b"GET\r\n\r\n" * 3000)
        assert read_all(peer) == b"0."
    assert len(http.threads) == 1


def test_one_request_after_the_other_is_answered_on_one_connection(running: Running) -> None:
    loop, _ = running(Echo())
    with loop.inside() as peer:
        for _ in range(50):
            peer.sendall(b"+0000003\r\n\r\nabc")
            assert peer.recv(64) == b"3."


@pytest.mark.slow
def test_a_review_that_has_waited_for_too_long_is_answered_by_a_thread_of_the_loop(running: Running) -> None:
    def act(visit: Visit) -> bytes:
        if visit.overdue:
            return b"too late"
        visit.turn = lambda: False
        return b""

    http = Echo(act)
    loop, _ = running(http)
    with loop.inside() as peer:
        begun = time.monotonic()
        peer.sendall(b"GET\r\n\r\n")
        assert peer.recv(64) == b"too late"
        assert time.monotonic() - begun >= WAIT_SECONDS
    assert "ticking" not in http.threads


def test_a_review_is_refused_at_once_when_too_many_wait(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(clock=lambda: 0.0)
    connection: Any = object()
    assert all(waiting.add(connection, b"", Visit(share=f"n{number}")) for number in range(WAITING))
    assert not waiting.add(connection, b"", Visit(share="another"))
    refused = []

    def act(visit: Visit) -> bytes:
        if visit.overdue:
            refused.append(visit)
            return b"no"
        visit.turn = lambda: False
        return b""

    loop, _ = running(Echo(act))
    monkeypatch.setattr(loop, "_waiting", waiting)
    with loop.inside() as peer:
        peer.sendall(b"GET\r\n\r\n")
        assert peer.recv(64) == b"no"
    assert len(refused) == 1


def test_of_one_namespace_a_quarter_waits_and_the_rest_is_refused_at_once() -> None:
    waiting = Waiting(clock=lambda: 0.0)
    connection: Any = object()
    taken = [waiting.add(connection, b"", Visit(share="hog", turn=lambda: True)) for _ in range(WAITING)]
    assert taken == [True] * NAMESPACE_WAITING + [False] * (WAITING - NAMESPACE_WAITING)
    assert waiting.add(connection, b"", Visit(share="bystander"))
    first = waiting.next()
    assert first is not None
    # Its turn was that of being read, and its namespace came to light then.
    first.visit.share = "else"
    assert waiting.add(connection, b"", Visit(share="hog"))
    assert not waiting.add(connection, b"", Visit(share="hog"))


def test_those_who_wait_are_served_in_their_order_past_those_who_cannot() -> None:
    now = [0.0]
    waiting = Waiting(clock=lambda: now[0])
    connections: list[Any] = [object() for _ in range(3)]
    turns = [False, True, True]
    for connection, turn in zip(connections, turns, strict=True):
        assert waiting.add(connection, b"", Visit(turn=lambda turn=turn: turn))  # type: ignore[misc]
    first = waiting.next()
    assert first is not None
    assert first.connection is connections[1]
    assert not waiting.overdue()
    now[0] = WAIT_SECONDS * 2
    assert waiting.overdue()
    late = waiting.next()
    assert late is not None
    assert (late.connection, late.visit.overdue) == (connections[0], True)


def test_a_fault_while_a_connection_is_taken_does_not_end_the_taking(running: Running) -> None:
    faults = [RuntimeError("a bug"), MemoryError(), OSError("gone"), *[ValueError()] * (LIMITS.threads + SPARE_THREADS)]

    def contexts() -> Any:
        if faults:
            raise faults.pop()
        seen.set()

    seen = threading.Event()
    _, port = running(Echo(), contexts)
    for _ in range(len(faults) + 1):
        socket.create_connection(("127.0.0.1", port)).close()
    assert seen.wait(10)


def test_a_connection_that_the_poller_does_not_take_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(LIMITS, [], lambda: None, Echo(), Drops())

    class Full:
        def register(self, *_: int) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "_epoll", Full())
    sock = socket.socket()
    with pytest.raises(OSError, match="No space"):
        loop._add(sock, ("10.0.0.1", 1), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert loop.connections() == 0
    assert loop._open.make_room("10.0.0.1")


def test_a_fault_of_ours_ends_one_connection_and_no_thread(running: Running) -> None:
    def act(_visit: Visit) -> bytes:
        if faults:
            faults.pop()
            raise RuntimeError("a bug")
        return b"fine"

    faults = [1] * 20
    loop, _ = running(Echo(act))
    for _ in range(20):
        with loop.inside() as peer:
            peer.sendall(b"GET\r\n\r\n")
            assert read_all(peer) == b""
    with loop.inside() as peer:
        peer.sendall(b"GET\r\n\r\n")
        assert peer.recv(64) == b"fine"


def new(peer: str = "10.0.0.1", *, since: float = 0.0, proven: bool = False, heard: bool = False) -> Connection:
    connection = Connection(socket.socket(), (peer, 1), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), since)
    connection.proven, connection.heard = proven, heard
    return connection


def test_a_stale_look_does_not_claim_a_connection_that_has_the_same_descriptor_by_now() -> None:
    kept = Connections(LIMITS, Drops())
    old = new()
    kept.add(old)
    kept.release(old)
    stale = old
    kept.close(old)
    young = new()
    assert young.fd == old.fd
    kept.add(young)
    kept.release(young)
    assert not kept.claim(stale)
    assert kept.claim_by(young.fd) is young
    assert kept.claim_by(young.fd) is None
    kept.close(young)
    assert kept.from_outside() == 0


def test_connections_can_be_counted_while_they_come_and_go() -> None:
    kept = Connections(LIMITS, Drops())
    over = threading.Event()

    def churn(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            connection = new(f"10.{number}.{turn % 250}.1")
            kept.add(connection)
            kept.close(connection)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    counted = [kept.from_outside() for _ in range(20_000)]
    over.set()
    for thread in threads:
        thread.join()
    assert max(counted) <= 4
    assert kept.from_outside() == 0


def test_when_it_is_full_and_all_are_worked_on_a_new_one_is_refused() -> None:
    drops = Drops()
    kept = Connections(LIMITS, drops)
    held = [new(f"10.0.0.{number}") for number in range(LIMITS.connections)]
    for connection in held:
        kept.add(connection)
    assert not kept.make_room("10.1.1.1")
    kept.release(held[3])
    assert kept.make_room("10.1.1.1")
    assert held[3].closed
    for connection in held:
        kept.close(connection)
    assert drops.totals()[DropCause.FULL] == 2


def test_whoever_opens_too_many_from_one_address_closes_their_own() -> None:
    drops = Drops()
    limits = Limits(
        threads=2, namespace_threads=1, body_bytes=MIB, buffered_bytes=MIB, document_bytes=MIB, peer_connections=4
    )
    kept = Connections(limits, drops)
    other = new("10.0.0.2")
    theirs = [new("10.0.0.1", since=number) for number in range(4)]
    for connection in (other, *theirs):
        kept.add(connection)
        kept.release(connection)
    assert kept.make_room("10.0.0.1")
    assert [each.closed for each in (other, *theirs)] == [False, True, False, False, False]
    assert drops.totals() == {**dict.fromkeys(DropCause, 0), DropCause.ADDRESS: 1}
    for connection in (other, *theirs):
        kept.close(connection)


def reading(kept: Connections, received: int, since: float) -> Connection:
    """A connection in the middle of a body, and free."""
    connection = new(f"10.0.0.{since:.0f}", since=since)
    connection.enter(State.READING, since)
    connection.buffer += b"x" * received
    kept.add(connection)
    return connection


def test_bodies_share_a_budget_and_the_one_begun_first_makes_room() -> None:
    drops = Drops()
    limits = Limits(threads=2, namespace_threads=1, body_bytes=MIB, buffered_bytes=MIB, document_bytes=MIB)
    kept = Connections(limits, drops)
    slow, slower = (reading(kept, FREE_BYTES + MIB // 2, since) for since in (1, 2))
    for connection in (slow, slower):
        assert kept.has_room(connection)
        kept.release(connection)
    # What each has of its own is free, and what was counted is not counted again.
    small = reading(kept, FREE_BYTES, 3)
    assert kept.has_room(small)
    assert kept.has_room(slow)
    fast = reading(kept, FREE_BYTES + 1, 4)
    assert kept.has_room(fast)
    assert [each.closed for each in (slow, slower, fast)] == [True, False, False]
    assert drops.totals()[DropCause.MEMORY] == 1
    # Of what has begun after it nothing is taken away: then it is the one to wait.
    early = reading(kept, FREE_BYTES + MIB, 0)
    assert not kept.has_room(early)
    assert not slower.closed
    kept.forget_body(slower)
    kept.forget_body(fast)
    assert kept.has_room(early)
    for connection in (slow, slower, small, fast, early):
        kept.close(connection)


def test_what_is_closed_before_it_is_done_is_counted_by_cause(
    context: tuple[ssl.SSLContext, Authority], running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = Drops()
    _, port = running(Echo(lambda _: b"x" * 20_000_000), lambda: context[0], drops=drops)

    def impatient(wanted: State) -> None:
        """Have patience with whoever is in any other state: this process may not get its turn for a while."""
        for state in State:
            monkeypatch.setattr(state, "seconds", 0.1 if state is wanted else 120.0)

    def plain() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=60)

    def shaken() -> ssl.SSLSocket:
        return context[1].client_context().wrap_socket(plain(), server_hostname=HOST)

    def seen(cause: DropCause) -> None:
        expected[cause] = 1
        until(lambda: drops.totals() == expected, f"one more {cause}", timeout_s=60)

    expected: dict[str, int] = dict.fromkeys(DropCause, 0)
    impatient(State.HANDSHAKE)
    with plain():
        seen(DropCause.HANDSHAKE)
    impatient(State.READING)
    with plain() as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        seen(DropCause.TLS)
    with shaken() as half:
        half.sendall(b"GET")
        seen(DropCause.REQUEST)
    impatient(State.WRITING)
    with shaken() as deaf:
        deaf.sendall(b"GET\r\n\r\n")
        seen(DropCause.ANSWER)
    impatient(State.IDLE)
    with shaken() as idle:
        assert idle.recv(1) == b""
    assert drops.totals() == expected


def test_drops_are_logged_now_and_then_and_a_failed_handshake_at_once() -> None:
    now = [100.0]
    drops = Drops(clock=lambda: now[0])
    with capture_logs() as lines:
        for _ in range(3):
            drops.count(DropCause.FULL)
            drops.count_tls("10.0.0.1", "UNKNOWN_CA")
        drops.report()
        drops.count(DropCause.FULL)
        drops.report()
        assert len(lines) == 2
        now[0] += 11
        drops.report()
        drops.report()
    assert [{key: value for key, value in line.items() if key != "log_level"} for line in lines] == [
        {"event": "handshake_failed", "peer": "10.0.0.1", "cause": "UNKNOWN_CA"},
        {"event": "connections_dropped", "full": 3, "handshake_UNKNOWN_CA": 3},
        {"event": "connections_dropped", "full": 1},
    ]
    assert (drops.totals()[DropCause.FULL], drops.totals()[DropCause.TLS]) == (4, 3)


def test_of_a_flood_its_own_go_first_and_one_that_was_answered_last() -> None:
    ours, fresh = new("us", since=0, proven=True, heard=True), new("us", since=99)
    begun = [new("them", since=number, heard=True) for number in range(20)]
    assert eviction_order([ours, fresh, *begun]) == [*begun, fresh, ours]
    starting = new("us", since=50, heard=True)
    silent = [new("them", since=number) for number in range(20)]
    assert eviction_order([ours, starting, *silent]) == [*silent, starting, ours]
    for connection in (ours, fresh, starting, *begun, *silent):
        connection.sock.close()


def test_a_body_there_is_no_room_for_is_thrown_away_at_once(running: Running) -> None:
    limits = Limits(threads=2, namespace_threads=1, body_bytes=MIB, buffered_bytes=1, document_bytes=MIB)
    loop, _ = running(Echo(lambda visit: b"no room" if visit.no_room else b"?"), limits=limits)
    with loop.inside() as peer:
        peer.sendall(b"+0999999\r\n\r\n" + b"x" * (FREE_BYTES * 3))
        assert peer.recv(64) == b"no room"
        [left] = loop._open._by_fd.values()
        # The answer is here a moment before the loop has noted that it is out.
        until(lambda: left.state is State.LINGERING, "the connection lingers")
        assert len(left.buffer) == 0


@pytest.fixture
def context(tmp_path: Any) -> tuple[ssl.SSLContext, Authority]:
    authority = Authority()
    leaf = authority.leaf()
    write_pair(tmp_path, leaf.certificate_pem, leaf.key_pem)
    served = CertificateFiles(tmp_path).current()
    assert served
    return served.context, authority


def test_who_half_closes_after_a_request_is_answered(
    context: tuple[ssl.SSLContext, Authority], running: Running
) -> None:
    _, port = running(Echo(), lambda: context[0])
    for request, answer in ((b"+0000003\r\n\r\nabc", b"3."), (b"+0000004\r\n\r\nabc", b""), (b"+00", b""), (b"", b"")):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context[1].client_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            if request:
                client.write(request)
            with pytest.raises(ssl.SSLWantReadError):
                client.unwrap()
            sock.sendall(outgoing.read())
            incoming.write(read_all(sock))
        received = b""
        while incoming.pending:
            try:
                received += client.read()
            except (ssl.SSLError, ValueError):
                break
        assert received == answer, request


def test_a_peer_that_makes_tls_answer_and_does_not_read_is_cut_off(
    context: tuple[ssl.SSLContext, Authority],
) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ours, ("10.0.0.1", 1), context[0], 0.0)

    class Talkative:
        def read(self, _most: int) -> bytes:
            connection._outgoing.write(b"x" * 40_000)
            raise ssl.SSLWantReadError

    connection._tls = Talkative()  # type: ignore[assignment]

    def hear_a_thousand() -> None:
        for _ in range(1000):
            connection.decrypt()

    with theirs, ours, pytest.raises(Ended):
        hear_a_thousand()
    assert len(connection._unsent) < 200_000


def test_taking_connections_goes_on_while_the_loop_drains(running: Running) -> None:
    loop, port = running(Echo())
    [fd] = loop._acceptor.listeners
    loop._epoll.unregister(fd)
    loop._acceptor._listen(fd)
    loop._epoll.register(fd, 0)
    loop.drain()
    socket.create_connection(("127.0.0.1", port)).close()
    with loop.inside() as peer:
        peer.sendall(b"GET\r\n\r\n")
        assert peer.recv(64) == b"0."


def test_what_came_while_a_head_was_read_is_read_before_anything_is_waited_for(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Echo):
        def read_head(self, head: bytes, address: Any) -> Line:
            peer.sendall(b"defgh")
            return super().read_head(head, address)

    loop, _ = running(Slow())
    waited: list[State] = []
    arm = loop._arm

    def watched(connection: Connection, *events: int) -> None:
        waited.append(connection.state)
        arm(connection, *events)

    monkeypatch.setattr(loop, "_arm", watched)
    with loop.inside() as peer:
        waited.clear()
        peer.sendall(b"+0000008\r\n\r\nabc")
        assert peer.recv(64) == b"8."
        until(lambda: waited, "it waits for the next request")
    assert waited[0] is State.IDLE


def test_a_log_line_is_written_once_its_answer_is_out_and_if_nobody_takes_it_too(running: Running) -> None:
    received, written = threading.Event(), threading.Event()
    order: list[bool] = []

    def line() -> None:
        order.append(received.wait(60))
        written.set()

    def answer(visit: Visit) -> bytes:
        visit.log_line = line
        return b"answer"

    def leave(visit: Visit) -> bytes:
        peer.close()
        return answer(visit)

    http = Echo(answer)
    loop, _ = running(http)
    with loop.inside() as peer:
        peer.sendall(b"GET\r\n\r\n")
        assert peer.recv(64) == b"answer"
        received.set()
        assert written.wait(60)
        written.clear()
        http.act = leave
        peer.sendall(b"GET\r\n\r\n")
        assert written.wait(60)
    assert order == [True, True]


def test_a_log_line_that_cannot_be_written_costs_nobody_a_connection(running: Running) -> None:
    def line() -> None:
        raise OSError

    def answer(visit: Visit) -> bytes:
        visit.log_line = line
        return b"answer"

    loop, _ = running(Echo(answer))
    with loop.inside() as peer:
        for _ in range(3):
            peer.sendall(b"GET\r\n\r\n")
            assert peer.recv(64) == b"answer"
        assert len(loop._open._by_fd) == 1


def test_a_body_beyond_what_is_read_at_once_is_counted_however_fast_it_comes(running: Running) -> None:
    limits = Limits(threads=2, namespace_threads=1, body_bytes=MIB, buffered_bytes=1, document_bytes=MIB)
    loop, _ = running(Echo(lambda visit: b"no room" if visit.no_room else b"?"), limits=limits)
    with loop.inside() as peer:
        peer.sendall(b"+0070000\r\n\r\n" + b"x" * 70_000)
        assert peer.recv(64) == b"no room"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EBADF, errno.ENOMEM])
def test_a_listener_that_the_poller_does_not_take_ends_no_thread_and_is_listened_to_later(number: int) -> None:
    class Poller:
        failures = 1
        listened = 0

        def modify(self, _fd: int, _events: int) -> None:
            self.failures -= 1
            if self.failures >= 0:
                raise OSError(number, "")
            self.listened += 1

    poller: Any = Poller()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        acceptor = Acceptor([listener], poller, lambda: None, lambda _: True, lambda *_: None)

        acceptor.accept(listener.fileno())
        assert poller.listened == 0
        acceptor.listen_again()
        acceptor.listen_again()
        assert poller.listened == 1


def test_out_of_file_descriptors_nobody_is_taken_until_the_next_tick() -> None:
    class Full:
        """A listener for whose next connection there is no descriptor."""

        def __init__(self, listener: socket.socket) -> None:
            self.fileno = listener.fileno
            self.accept = self.refuse

        def refuse(self) -> tuple[socket.socket, Any]:
            raise OSError(errno.EMFILE, "")

    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, select.epoll() as poller:
        listener.setblocking(False)
        full: Any = Full(listener)
        acceptor = Acceptor(
            [full],
            poller,
            lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            lambda _: True,
            lambda *of: taken.append(of[0]),
        )
        acceptor.start()
        with socket.create_connection(listener.getsockname()):
            assert poller.poll(10)
            with capture_logs() as logs:
                acceptor.accept(listener.fileno())
            assert [(line["event"], line["cause"]) for line in logs] == [("accept_failed", "EMFILE")]
            assert not poller.poll(0)

            full.accept = listener.accept
            acceptor.listen_again()
            assert poller.poll(10)
            acceptor.accept(listener.fileno())
    assert len(taken) == 1
    taken[0].close()


@pytest.mark.slow
def test_a_loop_that_stops_waits_for_the_log_line_of_its_last_answer_but_for_no_review(running: Running) -> None:
    written, going_on = threading.Event(), threading.Event()

    def line() -> None:
        time.sleep(0.3)
        written.set()

    def answer(visit: Visit) -> bytes:
        visit.log_line = line
        return b"answer"

    http = Echo(answer)
    loop, _ = running(http)
    with loop.inside() as peer:
        peer.sendall(b"GET\r\n\r\n")
        assert peer.recv(64) == b"answer"
        loop.stop()
        assert written.is_set()

    begun, ended = threading.Event(), threading.Event()

    def stuck(_visit: Visit) -> bytes:
        begun.set()
        going_on.wait(30)
        ended.set()
        return b""

    loop, _ = running(Echo(stuck))
    with loop.inside() as peer:
        peer.sendall(b"GET\r\n\r\n")
        assert begun.wait(30)
        loop.stop()
        assert not ended.is_set()
        going_on.set()
