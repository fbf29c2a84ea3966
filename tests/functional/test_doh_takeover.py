"""https:// listeners when a new process takes over."""
import contextlib
import threading
import time

from dns_world import Server
from forward_world import Upstream, reply
from test_doh import BLOCK, QUICK, Http1, Http2, addresses, wire
from tls_world import ca  # noqa: F401  a fixture


def frames(sock):
    """(type, flags, stream, payload) of each of HTTP/2's frames; h2 takes none behind GOAWAY."""
    data = b""
    while part := sock.recv(65536):
        data += part
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + size]
            data = data[9 + size:]


class Asker(threading.Thread):
    """Asks over one HTTP/1.1 connection until it is told that the connection ends."""

    def __init__(self, conn):
        super().__init__()
        self.conn, self.statuses, self.told = conn, [], False

    def run(self):
        while not self.told:
            status, head, _ = self.conn.ask(body=wire())
            self.statuses.append(status)
            self.told = head.get("connection") == "close"
            time.sleep(0.02)


def test_a_new_process_takes_over(signpost, tmp_path, ca):  # noqa: F811
    """Clients of the old one are told to go: by GOAWAY behind which what is under way is answered, and
    by Connection: close."""
    flags = ("-control", str(tmp_path / "control"), "-takeover")
    folders = [tmp_path / str(n) for n in range(2)]
    may_answer = threading.Event()
    for folder in folders:
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(may_answer.set)
        up = stack.enter_context(contextlib.closing(Upstream(lambda q, p: may_answer.wait(50) and [reply(q)])))
        text = BLOCK % (*ca.good, QUICK + " forward slow.test %s {\n  max_fails 0\n }\n" % up)
        old = stack.enter_context(Server(signpost, folders[0], text, *flags))
        two, one = Http2(old, ca), Http1(old, ca)
        stack.enter_context(two), stack.enter_context(one)
        assert two.ask(body=wire())[0] == 200
        stream = two.begin(body=wire("slow.test."))
        asker = Asker(one)
        asker.start()
        stack.enter_context(Server(signpost, folders[1], text, *flags, ports=[old.port, old.numbered(2)]))
        coming = frames(two.sock)
        goaway = next(f for f in coming if f[0] == 7)
        assert int.from_bytes(goaway[3][:4], "big") == stream and goaway[3][4:8] == bytes(4)
        may_answer.set()
        last = list(coming)[-1]  # to the end
        assert last[0] == 0 and last[1] & 1 and last[2] == stream and addresses(last[3]) == ["192.0.2.1"]
        asker.join(60)
        assert asker.told and set(asker.statuses) == {200}
        assert old.process.wait(60) == 0 and "under way" not in old.log()
