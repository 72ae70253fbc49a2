"""Outgoing HTTP: whom it speaks to, what it refuses, and how it ends."""

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.net import egress, fetch
from left4me.core.net.egress import AllowedHosts


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients hang up in these tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def log_message(self, *_):
        """Quiet."""

    def do_GET(self):
        self.seen.append(dict(self.headers))
        what = self.path.strip("/")
        if what.startswith("to/"):
            self.send_response(302)
            self.send_header("Location", what[3:])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif what == "drip-headers":
            with contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.1)
        else:
            body = b"x" * 1000
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Set-Cookie", "a=b")
            if what == "close":
                self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(OSError):
                for at in range(0, len(body), 100):
                    self.wfile.write(body[at : at + 100])
                    time.sleep(1 if what == "trickle" else 0)


@pytest.fixture
def url():
    Handler.seen = []
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(url):
    with fetch.Client(hosts=AllowedHosts.parse([".allowed.example", url]), read_timeout=5) as client:
        yield client


def body(client, url, limit=10_000, **how):
    with client.get(url, **how) as answer:
        return answer.body(limit=limit, within=30)


def test_a_literal_origin_is_reached_and_its_connection_kept(client, url):
    assert [len(body(client, url + "/a")) for _ in range(3)] == [1000, 1000, 1000]
    assert Handler.seen[0]["Accept-Encoding"] == "identity"
    assert "Cookie" not in Handler.seen[2]


def test_nothing_of_the_environment_is_used(client, url, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert len(body(client, url + "/a")) == 1000
    assert "Authorization" not in Handler.seen[0]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9/",
        "https://evil.example/",
        "//evil.example/x",
        "ftp://x.allowed.example/",
        "http://[::1]/",
    ],
)
def test_a_redirect_is_checked_like_a_first_address(client, url, target):
    with pytest.raises(fetch.HostRefused):
        body(client, f"{url}/to/{target}")


def test_a_body_larger_than_the_limit_is_cut_off(client, url):
    with pytest.raises(fetch.TooMuch, match="more than 500 bytes"):
        body(client, url + "/a", limit=500)


@pytest.mark.parametrize("path", ["/trickle", "/close-not", "/drip-headers"])
def test_a_cancel_wakes_a_waiting_reader(url, path):
    stop = threading.Event()
    threading.Timer(0.4, stop.set).start()
    started = time.monotonic()
    with (
        fetch.Client(hosts=AllowedHosts.parse([url]), cancelled=stop.is_set) as client,
        contextlib.suppress(Cancelled),
    ):
        body(client, url + path)
        assert path == "/close-not"
    assert time.monotonic() - started < 15


def test_a_body_that_trickles_is_given_up(url):
    with (
        fetch.Client(hosts=AllowedHosts.parse([url]), slow_after=1) as client,
        pytest.raises(fetch.Unreachable, match="sends too slowly"),
    ):
        body(client, url + "/trickle")


def test_headers_that_drip_are_given_up(url):
    with (
        fetch.Client(hosts=AllowedHosts.parse([url]), read_timeout=1) as client,
        pytest.raises(fetch.Unreachable, match="the answer took longer than 1 s"),
    ):
        body(client, url + "/drip-headers")


def test_a_server_that_closes_after_its_answer_is_read_to_the_end(client, url):
    assert [len(body(client, url + "/close")) for _ in range(2)] == [1000, 1000]


def test_a_silent_server_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            fetch.Client(hosts=AllowedHosts.parse([url]), read_timeout=0.5) as client,
            pytest.raises(fetch.Unreachable, match=r"took longer than|no data in time"),
        ):
            body(client, url)


def test_a_tls_handshake_with_a_silent_server_can_be_cancelled():
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        threading.Timer(0.4, stop.set).start()
        started = time.monotonic()
        with (
            fetch.Client(hosts=AllowedHosts.parse([url]), cancelled=stop.is_set) as client,
            pytest.raises(Cancelled),
        ):
            body(client, url)
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "0.0.0.0",
    ],
)
def test_a_name_that_leads_to_a_private_address_is_refused(monkeypatch, address):
    resolve_to(monkeypatch, address)
    with (
        fetch.Client(hosts=AllowedHosts.parse([".allowed.example"])) as client,
        pytest.raises(fetch.HostRefused, match=r"cdn\.allowed\.example resolves to a private address"),
    ):
        body(client, "https://cdn.allowed.example/x")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    resolve_to(monkeypatch, "93.184.216.34")
    dialled = []

    def dial(self, family, address):
        dialled.append(address)
        raise OSError("stop here")

    monkeypatch.setattr(egress.EgressGuard, "_dial", dial)
    with (
        fetch.Client(hosts=AllowedHosts.parse([".allowed.example"])) as client,
        pytest.raises(fetch.Unreachable, match=r"can't connect to cdn.allowed.example: stop here"),
    ):
        body(client, "http://cdn.allowed.example/x")
    # Also: plain http became https.
    assert dialled == [("93.184.216.34", 443)]


def test_a_name_server_that_does_not_answer_can_be_cancelled(monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5) or [])
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    with (
        fetch.Client(hosts=AllowedHosts.parse([".allowed.example"]), cancelled=stop.is_set) as client,
        pytest.raises(Cancelled),
    ):
        body(client, "https://cdn.allowed.example/x")
    assert time.monotonic() - started < 4


def resolve_to(monkeypatch, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(family, 1, 6, "", (address, port))])


@pytest.mark.parametrize(
    ("scheme", "host", "port", "admitted"),
    [
        ("https", "cdn.steamusercontent.com", 443, True),
        ("https", "CDN.SteamUserContent.com.", 443, True),
        ("https", "steamusercontent-a.akamaihd.net", 443, True),
        ("http", "cdn.steamusercontent.com", 80, False),
        ("https", "cdn.steamusercontent.com", 8443, False),
        ("https", "evilsteamusercontent.com", 443, False),
        ("https", "steamusercontent.com.evil.example", 443, False),
        ("https", "evil.akamaihd.net", 443, False),
        ("http", "127.0.0.1", 9000, True),
        ("http", "127.0.0.1", 9001, False),
        ("https", "127.0.0.1", 9000, False),
    ],
)
def test_the_list_of_hosts_admits_only_what_it_says(scheme, host, port, admitted):
    hosts = AllowedHosts.parse([".steamusercontent.com", "steamusercontent-a.akamaihd.net", "http://127.0.0.1:9000"])
    assert hosts.admits(scheme, host, port) is admitted


@pytest.mark.parametrize("entry", ["127.0.0.1:9000", "a/b", "ftp://x", "http://"])
def test_a_list_that_cannot_be_meant_is_refused(entry):
    with pytest.raises(ValueError, match=r"neither a host suffix|not an http or https address"):
        AllowedHosts.parse([entry])


@pytest.mark.parametrize(
    "address", ["64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "224.0.0.1", "192.0.2.1", "fc00::1"]
)
def test_private_addresses_in_disguise_are_not_public(address):
    assert not egress.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("fec0::1", "feff:ffff::1", "192.0.0.9", "192.0.0.170", "192.88.99.1", "198.18.0.1", "3fff::1"),
        *("100::1", "2001:db8::1", "64:ff9b:1::a00:1", "::ffff:192.88.99.1", "5f00::1"),
    ],
)
def test_networks_of_special_purpose_are_not_public(address):
    assert not egress.is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_public_addresses_are_public(address):
    assert egress.is_public(address)


def test_any_public_host_is_reached_by_https_on_any_port_and_an_origin_as_it_is_written():
    hosts = AllowedHosts.parse([" HTTP://127.0.0.1:9000 ", ""]).with_any_public().with_origin("https://api.example")
    assert hosts.admits("https", "anything.example", 8443)
    assert not hosts.admits("http", "anything.example", 80)
    assert hosts.admits("http", "127.0.0.1", 9000)
    assert hosts.is_literal("https", "API.example", 443)
    assert not AllowedHosts().admits("https", "anything.example", 443)
    assert AllowedHosts.parse(["http://a.example"]).is_literal("http", "a.example", 80)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("fe80::1%eth0", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("printer.local", True),
        ("db.internal", True),
        ("localhost.example", False),
        ("93.184.216.34", False),
        ("a.example", False),
    ],
)
def test_a_host_in_a_private_network_is_told_by_its_name(host, expected):
    assert egress.is_literal_private(host) is expected


def test_teredo_is_not_public():
    assert not egress.is_public("2001:0:4136:e378:8000:63bf:3fff:fdd2")


class Cut:
    """A connection that notes when it was cut."""

    def __init__(self, deadline):
        self.deadline, self.expired, self.cuts = deadline, False, 0

    def cut(self):
        self.cuts += 1


@pytest.mark.parametrize(
    ("is_cancelled", "expected"),
    [(False, [(0, False), (0, False), (1, True)]), (True, [(1, False), (1, False), (1, True)])],
)
def test_connections_are_cut_when_their_answer_is_overdue_and_all_of_them_once_cancelled(
    monkeypatch, is_cancelled, expected
):
    guard = egress.EgressGuard(AllowedHosts(), lambda: is_cancelled, 1, 1)
    monkeypatch.setattr(egress, "time", SimpleNamespace(monotonic=lambda: 100.0))
    connections = [Cut(None), Cut(100.0), Cut(99.9)]
    guard._sockets.update(enumerate(connections))
    guard.watch()
    assert [(each.cuts, each.expired) for each in connections] == expected


def test_addresses_are_tried_one_after_the_other(monkeypatch):
    guard = egress.EgressGuard(AllowedHosts.parse([".allowed.example"]), lambda: False, 1, 1)
    addresses = ["10.0.0.1", "93.184.216.34", "93.184.216.35"]
    entries = [(socket.AF_INET, 1, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    tried = []

    def dial(self, family, address):
        tried.append(address[0])
        if address[0].endswith("34"):
            raise OSError(111, "Connection refused")
        return "connected"

    monkeypatch.setattr(egress.EgressGuard, "_dial", dial)
    assert guard.connect("https", "a.allowed.example", 443) == "connected"
    assert tried == addresses[1:]
    with pytest.raises(fetch.HostRefused, match="not on the list"):
        guard.connect("https", "b.example", 443)


def test_a_name_that_does_not_exist_says_so(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    guard = egress.EgressGuard(AllowedHosts(), lambda: False, 5, 1)
    with pytest.raises(fetch.Unreachable, match=r"can't find a\.example: .*not known"):
        guard._resolve("a.example", 443)


def test_a_name_server_that_takes_too_long_is_given_up(monkeypatch):
    may_end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: may_end.wait(20) and [])
    guard = egress.EgressGuard(AllowedHosts(), lambda: False, 0.05, 1)
    with pytest.raises(fetch.Unreachable, match=r"no answer within 0\.05 s"):
        guard._resolve("a.example", 443)
    may_end.set()


def test_a_port_where_nobody_listens_is_told(url):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with (
        fetch.Client(hosts=AllowedHosts.parse([f"http://127.0.0.1:{port}"])) as client,
        pytest.raises(fetch.Unreachable, match=r"can't connect to 127\.0\.0\.1: Connection refused"),
    ):
        body(client, f"http://127.0.0.1:{port}/")


def test_a_connection_waits_no_longer_than_it_may_for_each_piece(url):
    guard = egress.EgressGuard(AllowedHosts(), lambda: False, 5, 7)
    host, port = url.removeprefix("http://").split(":")
    with guard._dial(socket.AF_INET, (host, int(port))) as connected:
        assert connected.gettimeout() == 7
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        held = guard.hold(connected)
        assert len(guard._sockets) == 1
        guard.release(held)
        assert guard._sockets == {} and held.handle.fileno() == -1


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("http://cdn.allowed.example/x", "https://cdn.allowed.example/x"),
        ("http://cdn.allowed.example:80/x", "https://cdn.allowed.example/x"),
        ("HTTPS://cdn.allowed.example/x?y#z", "https://cdn.allowed.example/x?y#z"),
        ("https://cdn.allowed.example:443/x", "https://cdn.allowed.example:443/x"),
        ("http://cdn.allowed.example:8080/x", None),
        ("https://cdn.allowed.example:99999/", None),
        ("https://user@cdn.allowed.example/", None),
        ("https:///x", None),
        ("ftp://cdn.allowed.example/", None),
        ("https://[::1/", None),
    ],
)
def test_an_address_is_admitted_as_https(client, address, admitted):
    if admitted is None:
        with pytest.raises(fetch.HostRefused):
            client._admit(address)
    else:
        assert client._admit(address) == admitted


def test_redirects_are_followed_five_times(client, url):
    for times in (5, 6):
        address = f"{url}/{'to//' * times}a"
        if times == 5:
            assert len(body(client, address)) == 1000
            continue
        with pytest.raises(fetch.Unreachable, match=r"more than 5 redirects, the last to 127\.0\.0\.1"):
            body(client, address)


def test_what_a_bad_status_knows():
    fault = fetch.BadStatus(503, "a.example", retry_after=7)
    assert (fault.status, fault.retry_after, str(fault)) == (503, 7, "a.example answered with HTTP status 503")


def test_the_innermost_reason_is_told():
    inner = OSError(104, "Connection reset by peer")
    middle = ValueError("outer")
    middle.__cause__ = inner
    assert fetch._words(middle) == "Connection reset by peer"
    middle.__cause__ = TimeoutError()
    assert fetch._words(middle) == "no data in time"
    assert fetch._words(ValueError()) == "ValueError"
    assert fetch._words(ValueError("x" * 300)) == "x" * 200
    wrapped = ValueError("outer")
    wrapped.reason = KeyError("why")
    assert fetch._words(wrapped) == "'why'"


class Pieces:
    """A response whose body is `pieces`, each with the seconds that it takes."""

    status_code, headers, url = 200, {}, "https://a.example/x"

    def __init__(self, clock, *pieces):
        self.raw, self.clock, self.pieces = self, clock, list(pieces)

    def read1(self, size, decode_content):
        if not self.pieces:
            return None
        seconds, piece = self.pieces.pop(0)
        self.clock[0] += seconds
        if isinstance(piece, Exception):
            raise piece
        return piece


@pytest.fixture
def receive(monkeypatch):
    """The answer of these pieces, on a clock of its own."""
    clock = [1_000.0]
    monkeypatch.setattr(fetch, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    guard = egress.EgressGuard(AllowedHosts(), lambda: False, 1, 1)
    return lambda *pieces: fetch.Answer(Pieces(clock, *pieces), guard, slow_after=60.0)


KILOBYTE = b"x" * 1024


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ([(60, KILOBYTE)], ""),
        ([(61, b"x" * 1024 * 61)], ""),
        ([(61, b"x" * (1024 * 61 - 1))], "sends too slowly (62463 bytes in 61 s)"),
        ([(30, KILOBYTE), (31, KILOBYTE)], "sends too slowly (2048 bytes in 61 s)"),
        ([(61, b"x" * 1024 * 61), (60, KILOBYTE)], ""),
        ([(61, b"x" * 1024 * 61), (61, KILOBYTE)], "sends too slowly (1024 bytes in 61 s)"),
        ([(1, OSError(104, "Connection reset"))], "closed the connection early: Connection reset"),
    ],
)
def test_a_body_has_to_come_at_a_kilobyte_a_second(receive, pieces, fault):
    answer = receive(*pieces)
    if not fault:
        assert list(answer.chunks()) == [piece for _, piece in pieces]
        return
    with pytest.raises(fetch.Unreachable) as caught:
        list(answer.chunks())
    assert fault in str(caught.value) and "a.example" in str(caught.value)


def test_a_whole_body_has_a_limit_and_a_time(receive):
    assert receive((1, b"ab"), (1, b"c")).body(limit=3, within=2) == b"abc"
    with pytest.raises(fetch.TooMuch, match="more than 2 bytes"):
        receive((1, b"ab"), (1, b"c")).body(limit=2, within=9)
    with pytest.raises(fetch.Unreachable, match="longer than 1 s"):
        receive((1, b"ab"), (1, b"c")).body(limit=9, within=1)


# --- how soon a cancel is noticed ---


def test_a_cancel_is_noticed_several_times_a_second_while_a_name_is_looked_up(monkeypatch):
    waits = []

    class Nothing:
        def get(self, *, timeout):
            waits.append(timeout)
            raise egress.queue.Empty

        def put(self, answer):
            """Nobody reads it."""

    monkeypatch.setattr(egress, "queue", SimpleNamespace(Queue=Nothing, Empty=egress.queue.Empty))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    guard = egress.EgressGuard(AllowedHosts(), lambda: len(waits) > 2, 60, 1)
    with pytest.raises(Cancelled):
        guard._resolve("a.example", 443)
    assert waits == [0.2] * 3


@pytest.mark.parametrize(("is_cancelled", "fault"), [(True, Cancelled), (False, TimeoutError)])
def test_a_cancel_is_noticed_several_times_a_second_while_connecting(monkeypatch, is_cancelled, fault):
    waits, now = [], [1_000.0]

    class Poll:
        def register(self, sock, events):
            assert events == egress.select.POLLOUT

        def poll(self, milliseconds):
            waits.append(milliseconds)
            now[0] += milliseconds / 1000

    monkeypatch.setattr(egress, "select", SimpleNamespace(poll=Poll, POLLOUT=egress.select.POLLOUT))
    monkeypatch.setattr(egress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    guard = egress.EgressGuard(AllowedHosts(), lambda: is_cancelled and len(waits) > 2, 0.9, 1)
    with pytest.raises(fault):
        guard._dial(socket.AF_INET, ("127.0.0.1", 9))
    assert waits == [200.0] * (3 if is_cancelled else 5)


def test_connections_are_watched_several_times_a_second(monkeypatch):
    waits = []
    with fetch.Client(hosts=AllowedHosts()) as client:
        pass
    monkeypatch.setattr(
        client, "_closed", SimpleNamespace(wait=lambda seconds: waits.append(seconds) or len(waits) > 2)
    )
    watched = []
    monkeypatch.setattr(client._guard, "watch", lambda: watched.append(1))
    client._watch()
    assert (waits, len(watched)) == ([0.2] * 3, 2)
