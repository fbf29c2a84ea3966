"""https:// listeners when a new process takes over."""
import contextlib

from dns_world import Server
from test_doh import BLOCK, Http1, Http2, addresses, upstream, wire  # noqa: F401  one is a fixture
from tls_world import ca  # noqa: F401  a fixture


def frames(sock):
    """(type, flags, stream, payload) of each of HTTP/2's frames; h2 takes none behind GOAWAY."""
    data = b""
    while part := sock.recv(65536):
        data += part
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + size]
            data = data[9 + size:]


def test_a_new_process_takes_over(signpost, tmp_path, ca, upstream):  # noqa: F811
    """Clients of the old one are told to go: by GOAWAY behind which what is under way is answered, and
    by Connection: close."""
    text = BLOCK % (*ca.good, " forward . %s\n" % upstream)
    flags = ("-control", str(tmp_path / "control"), "-takeover")
    folders = [tmp_path / str(n) for n in range(2)]
    for folder in folders:
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(Server(signpost, folders[0], text, *flags))
        two, one = Http2(old, ca), Http1(old, ca)
        stack.enter_context(two), stack.enter_context(one)
        assert two.ask(body=wire("a.test."))[0] == one.ask(body=wire("b.test."))[0] == 200
        stream = two.begin(body=wire("slow.test."))
        stack.enter_context(Server(signpost, folders[1], text, *flags, ports=[old.port, old.numbered(2)]))
        seen = list(frames(two.sock))  # to the end
        goaway = next(f for f in seen if f[0] == 7)
        assert int.from_bytes(goaway[3][:4], "big") == stream and goaway[3][4:8] == bytes(4)
        assert seen.index(goaway) < len(seen) - 1 and seen[-1][0] == 0 and seen[-1][1] & 1
        assert seen[-1][2] == stream and addresses(seen[-1][3]) == ["192.0.2.1"]
        status, head, _ = one.ask(body=wire("c.test."))
        assert (status, head["connection"]) == (200, "close")
        assert old.process.wait(60) == 0 and "under way" not in old.log()
