"""`etcd`: a real etcd that is changed, stopped, set back and locked while signpost serves."""
import contextlib
import re
import socket
import subprocess
import time

import dns.flags
import dns.rcode
import pytest

import etcd as lib
from dns_world import Server, free_port, http_get, parse, query, records, run_until_end

pytestmark = pytest.mark.skipif(not lib.PROGRAM, reason="there is no etcd here (etcd-server)")

P = "/skydns/test/etcd/"
COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:@PORT2@
    etcd etcd.test 10.in-addr.arpa {
        %s
    }
}
"""


@pytest.fixture(name="etcd")
def etcd_fixture(tmp_path):
    with lib.Etcd(tmp_path) as etcd:
        yield etcd


def corefile(*lines):
    return COREFILE % "\n        ".join(lines)


def serve(signpost, tmp_path, *lines):
    return Server(signpost, tmp_path, corefile(*lines))


def metric(server, name):
    found = re.search(r"^%s\{.*\} (\S+)$" % name, http_get(server.numbered(2), "/metrics")[1],
                      re.MULTILINE)
    return float(found[1]) if found else None


def until_metric(server, name, right, seconds=15):
    end = time.monotonic() + seconds
    while not right(metric(server, name)):
        assert time.monotonic() < end, "%s is %s: %s" % (name, metric(server, name), server.log())
        time.sleep(0.02)


def listed(server):
    until_metric(server, "signpost_etcd_connected", lambda v: v == 1)


def failed(reply):
    return (dns.rcode.to_text(reply.rcode()), bool(reply.flags & dns.flags.AA),
            [r[2] for r in records(reply.authority)])


def wait_failed(server):
    """Queries are held for the first list for some seconds, then fail."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(15)
        sock.sendto(query("a.etcd.test").to_wire(), ("127.0.0.1", server.port))
        assert failed(parse(sock.recv(4096))) == ("SERVFAIL", True, ["SOA"])


def test_the_first_query_waits_for_the_first_list(signpost, tmp_path, etcd):
    etcd.put(P + "a", {"host": "10.0.0.1"})
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        assert server.addresses("a.etcd.test") == ["10.0.0.1"]
        assert server.addresses("b.etcd.test") == "NXDOMAIN"


def test_ending_while_queries_are_held(signpost, tmp_path):
    closed = lib.free_ports(1)[0]
    with serve(signpost, tmp_path, "endpoint http://127.0.0.1:%d" % closed) as server:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for number in range(20):
                sock.sendto(query("a%d.etcd.test" % number).to_wire(), ("127.0.0.1", server.port))
            assert records(server.ask("a.etcd.test", "SOA").answer)  # the others have arrived
        assert server.stop() == 0


def test_changes_are_seen_while_serving(signpost, tmp_path, etcd):
    etcd.put(P + "a", {"host": "10.0.0.1"})
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        server.until("a.etcd.test", ["10.0.0.1"], 15)
        etcd.put(P + "a", {"host": "10.0.0.2"})
        server.until("a.etcd.test", ["10.0.0.2"], 5)
        etcd.put(P + "b/x", {"host": "10.0.0.3"})
        etcd.put(P + "b/y", {"host": "10.0.0.4"})
        etcd.put("/skydns/arpa/in-addr/10/0/0/3", {"host": "x.b.etcd.test"})
        server.until("b.etcd.test", ["10.0.0.3", "10.0.0.4"], 5)
        server.until("3.0.0.10.in-addr.arpa", ["x.b.etcd.test."], 5, rdtype="PTR")
        etcd.delete(P + "b/x")
        server.until("b.etcd.test", ["10.0.0.4"], 5)
        etcd.delete(P + "b/y")
        server.until("b.etcd.test", "NXDOMAIN", 5)
        etcd.put(P + "c", {"host": "10.0.0.5"}, etcd.lease(4000))
        server.until("c.etcd.test", ["10.0.0.5"], 5)
        end = time.monotonic() + 10  # what is left of the lease is asked for behind the scenes
        while records(server.ask("c.etcd.test").answer)[0][1] not in range(3980, 4001):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert metric(server, "signpost_etcd_lists_total") == 1
        assert metric(server, "signpost_etcd_keys") == 3


def test_a_lease_that_runs_out_takes_its_key_along(signpost, tmp_path, etcd):
    etcd.put(P + "short", {"host": "10.0.0.1"}, etcd.lease(2))
    with serve(signpost, tmp_path, "endpoint " + etcd.url, "min-lease-ttl 1s",
               "max-lease-ttl 90") as server:
        server.until("short.etcd.test", ["10.0.0.1"], 15)
        server.until("short.etcd.test", "NXDOMAIN", 20)
        etcd.put(P + "long", {"host": "10.0.0.2"}, etcd.lease(5000))
        server.until("long.etcd.test", ["10.0.0.2"], 5)
        end = time.monotonic() + 10
        while records(server.ask("long.etcd.test").answer)[0][1] != 90:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_values_that_cannot_be_read(signpost, tmp_path, etcd):
    etcd.put(P + "dir/bad", '{"host": ')
    etcd.put(P + "dir/good", {"host": "10.0.0.1"})
    etcd.put(P + "type", {"host": "10.0.0.1", "port": "80"})
    etcd.put(P + "huge", {"text": "x" * 100000})
    etcd.put(P + "new\nline", "no json")
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        server.until("dir.etcd.test", ["10.0.0.1"], 15)
        log = server.log()
        assert "/skydns/test/etcd/dir/bad: value:1: not valid JSON" in log
        assert "/skydns/test/etcd/type: \"port\" is not a whole number" in log
        assert "/skydns/test/etcd/huge: the value has 100012 bytes; at most 65536 are read" in log
        assert "/skydns/test/etcd/new?line: the value is no JSON object" in log
        assert metric(server, "signpost_etcd_bad_values") == 4
        assert failed(server.ask("bad.dir.etcd.test")) == ("SERVFAIL", True, ["SOA"])
        assert failed(server.ask("huge.etcd.test", "TXT")) == ("SERVFAIL", True, ["SOA"])
        server.wait_log("plugin/errors: 2 bad.dir.etcd.test. A: plugin/etcd: "
                        "/skydns/test/etcd/dir/bad: the value cannot be read")
        etcd.put(P + "dir/bad", {"host": "10.0.0.2"})
        server.until("dir.etcd.test", ["10.0.0.1", "10.0.0.2"], 5)
        etcd.put(P + "dir/good", "[]")
        server.until("dir.etcd.test", ["10.0.0.2"], 5)


def test_etcd_goes_and_comes_back(signpost, tmp_path, etcd):
    etcd.put(P + "a", {"host": "10.0.0.1"})
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        server.until("a.etcd.test", ["10.0.0.1"], 15)
        etcd.stop()
        until_metric(server, "signpost_etcd_connected", lambda v: v == 0)
        until_metric(server, "signpost_etcd_age_seconds", lambda v: v > 0)
        assert server.addresses("a.etcd.test") == ["10.0.0.1"]
        assert server.addresses("no.etcd.test") == "NXDOMAIN"
        etcd.start()
        etcd.put(P + "a", {"host": "10.0.0.2"})
        server.until("a.etcd.test", ["10.0.0.2"], 15)
        listed(server)
        assert metric(server, "signpost_etcd_age_seconds") == 0
        assert metric(server, "signpost_etcd_failures_total") >= 1
        assert metric(server, "signpost_etcd_lists_total") == 1  # the watch went on


def test_before_etcd_has_answered(signpost, tmp_path):
    etcd = lib.Etcd(tmp_path)
    with serve(signpost, tmp_path, "endpoint " + etcd.url, "fallthrough") as server:
        assert [r[2] for r in records(server.ask("a.etcd.test", "SOA").answer)] == ["SOA"]
        wait_failed(server)
        start = time.monotonic()
        for _ in range(10):  # at once from now on
            assert failed(server.ask("a.etcd.test")) == ("SERVFAIL", True, ["SOA"])
        assert time.monotonic() - start < 2
        server.wait_log("plugin/etcd: %s: Failed to connect to 127.0.0.1" % etcd.url)
        with etcd.start():
            etcd.put(P + "a", {"host": "10.0.0.1"})
            server.until("a.etcd.test", ["10.0.0.1"], 20)


def move_ports(etcd):
    """The same data at another address, which signpost does not know."""
    known, etcd.port = etcd.port, lib.free_ports(1)[0]
    return known


def test_what_was_compacted_is_listed_again(signpost, tmp_path, etcd):
    etcd.put(P + "gone", {"host": "10.0.0.9"})
    etcd.put(P + "a", {"host": "10.0.0.1"})
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        server.until("a.etcd.test", ["10.0.0.1"], 15)
        etcd.stop()
        known = move_ports(etcd)
        etcd.start()
        etcd.delete(P + "gone")
        revision = etcd.put(P + "a", {"host": "10.0.0.2"})
        etcd.call("/v3/kv/compaction", {"revision": str(revision)})
        etcd.stop()
        assert server.addresses("gone.etcd.test") == ["10.0.0.9"]
        etcd.port = known
        etcd.start()
        server.until("a.etcd.test", ["10.0.0.2"], 20)
        assert server.addresses("gone.etcd.test") == "NXDOMAIN"
        assert metric(server, "signpost_etcd_lists_total") == 2


def test_a_store_that_was_set_back(signpost, tmp_path, etcd):
    for number in range(20):
        etcd.put(P + "a", {"host": "10.0.0.%d" % number})
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        server.until("a.etcd.test", ["10.0.0.19"], 15)
        etcd.stop()
        (tmp_path / "data-one").rename(tmp_path / "data-old")
        known = move_ports(etcd)
        etcd.start()
        etcd.put(P + "b", {"host": "10.0.0.1"})
        etcd.stop()
        etcd.port = known
        etcd.start()
        server.until("b.etcd.test", ["10.0.0.1"], 20)
        assert server.addresses("a.etcd.test") == "NXDOMAIN"


def test_the_next_endpoint_takes_over(signpost, tmp_path):
    peers = list(zip(("one", "two", "three"), lib.free_ports(3)))
    members = [lib.Etcd(tmp_path, name, peers) for name, _ in peers]
    with contextlib.ExitStack() as stack:
        for member in members:
            stack.enter_context(member.start(wait=False))
        for member in members:
            member.wait_up()
        members[1].put(P + "a", {"host": "10.0.0.1"})
        urls = " ".join(m.url for m in members)
        with serve(signpost, tmp_path, "endpoint " + urls) as server:
            server.until("a.etcd.test", ["10.0.0.1"], 15)
            listed(server)
            members[0].stop()
            until_metric(server, "signpost_etcd_failures_total", lambda v: v >= 1)
            members[1].wait_up()
            members[1].put(P + "a", {"host": "10.0.0.2"})
            server.until("a.etcd.test", ["10.0.0.2"], 15)
            server.wait_log("plugin/etcd: %s: following revision" % members[1].url, 15)
            assert metric(server, "signpost_etcd_lists_total") == 1


def lock(etcd, prefix):
    """Switches authentication on: "root", and "dns" who may read below prefix."""
    etcd.call("/v3/auth/role/add", {"name": "root"})
    etcd.call("/v3/auth/role/add", {"name": "reader"})
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    etcd.call("/v3/auth/role/grant", {"name": "reader", "perm": {
        "permType": "READ", "key": lib.b64(prefix), "range_end": lib.b64(end)}})
    for user, role in (("root", "root"), ("dns", "reader")):
        etcd.call("/v3/auth/user/add", {"name": user, "password": user + "\"pw"})
        etcd.call("/v3/auth/user/grant", {"user": user, "role": role})
    etcd.call("/v3/auth/enable", {})
    etcd.login("root", "root\"pw")


def test_credentials(signpost, tmp_path, etcd):
    """Only the zone's keys may be read, and the token is forgotten when etcd starts again."""
    etcd.put(P + "a", {"host": "10.0.0.1"})
    lock(etcd, P)
    lines = ["endpoint " + etcd.url, 'credentials dns "dns\\"pw"']
    with Server(signpost, tmp_path, corefile(*lines).replace(" 10.in-addr.arpa", "")) as server:
        server.until("a.etcd.test", ["10.0.0.1"], 15)
        etcd.put(P + "a", {"host": "10.0.0.2"})
        server.until("a.etcd.test", ["10.0.0.2"], 5)
        etcd.stop()
        etcd.start(wait=False)
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                etcd.login("root", "root\"pw")
                etcd.put(P + "a", {"host": "10.0.0.3"})
                break
            assert time.monotonic() < end
            time.sleep(0.05)
        server.until("a.etcd.test", ["10.0.0.3"], 15)
        assert metric(server, "signpost_etcd_lists_total") == 1


def test_wrong_credentials(signpost, tmp_path, etcd):
    etcd.put(P + "a", {"host": "10.0.0.1"})
    with serve(signpost, tmp_path, "endpoint " + etcd.url, "credentials dns x") as server:
        server.until("a.etcd.test", ["10.0.0.1"], 15)  # nobody asked for them
    lock(etcd, P)
    with serve(signpost, tmp_path, "endpoint " + etcd.url, "credentials dns wrong") as server:
        server.wait_log("plugin/etcd: %s: user 'dns': etcdserver: authentication failed" % etcd.url, 15)
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        server.wait_log("plugin/etcd: %s: etcdserver: user name is empty" % etcd.url, 15)


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, timeout=60,
                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def certificates(folder):
    """ca.pem, and one certificate for both sides: pair.pem with key.pem."""
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca")
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "key.pem", "-out", "pair.csr", "-subj", "/CN=etcd")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n"
                                "extendedKeyUsage=serverAuth,clientAuth\n")
    openssl(folder, "x509", "-req", "-in", "pair.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
            "-CAcreateserial", "-out", "pair.pem", "-days", "2", "-extfile", "ext")
    return tuple(str(folder / name) for name in ("ca.pem", "pair.pem", "key.pem"))


def test_tls_with_a_client_certificate(signpost, tmp_path):
    files = certificates(tmp_path)
    with lib.Etcd(tmp_path, tls=files) as etcd:
        etcd.put(P + "a", {"host": "10.0.0.1"})
        lines = "endpoint " + etcd.url, "tls pair.pem key.pem ca.pem"
        text = "root @DIR@\n    errors".join(corefile(*lines).split("errors", 1))
        with Server(signpost, tmp_path, text) as server:
            server.until("a.etcd.test", ["10.0.0.1"], 15)
            etcd.put(P + "a", {"host": "10.0.0.2"})
            server.until("a.etcd.test", ["10.0.0.2"], 5)
        with serve(signpost, tmp_path, "endpoint " + etcd.url, "tls @DIR@/ca.pem") as server:
            server.wait_log("plugin/etcd: %s: " % etcd.url, 15)  # no certificate of its own
        with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
            server.wait_log("SSL certificate problem", 15)


def put_all(etcd, pairs):
    """At once; at most 128."""
    etcd.call("/v3/kv/txn", {"success": [
        {"request_put": {"key": lib.b64(key), "value": lib.b64(value)}} for key, value in pairs]})


def test_many_keys_and_long_answers(signpost, tmp_path, etcd):
    for number in range(0, 21000, 100):
        put_all(etcd, [(P + ("many/%04d" if i < 2500 else "more/%04d") % i,
                        '{"host":"10.1.%d.%d"}' % (i >> 8, i & 255))
                       for i in range(number, number + 100)])
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        until_metric(server, "signpost_etcd_keys", lambda v: v == 21000)  # three pages
        assert server.addresses("20999.more.etcd.test") == ["10.1.82.7"]
        assert server.addresses("2499.many.etcd.test") == ["10.1.9.195"]
        reply = server.ask("many.etcd.test", tcp=True)
        assert [r[3] for r in records(reply.answer)] == [
            "10.1.%d.%d" % (i >> 8, i & 255) for i in range(2500)]  # in the order of their keys
        assert server.ask("many.etcd.test").flags & dns.flags.TC


def test_large_values_come_in_smaller_pages(signpost, tmp_path, etcd):
    for number in range(0, 220, 20):
        put_all(etcd, [(P + "big/%03d" % i, '{"text":"%03d%s"}' % (i, "x" * 60000))
                       for i in range(number, number + 20)])
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        until_metric(server, "signpost_etcd_keys", lambda v: v == 220, 30)
        reply = server.ask("219.big.etcd.test", "TXT", tcp=True)
        assert records(reply.answer)[0][3].startswith('"219xxx')
        assert metric(server, "signpost_etcd_failures_total") == 0


def test_host_names(signpost, tmp_path, etcd):
    """Chains inside end after eight CNAMEs; names outside are asked of the server itself."""
    for number in range(12):
        etcd.put(P + "c%02d" % number, {"host": "c%02d.etcd.test" % (number + 1)})
    etcd.put(P + "c12", {"host": "10.0.0.1"})
    etcd.put(P + "d/1", {"host": "out.test", "port": 1, "mail": True})
    etcd.put(P + "d/2", {"host": "10.0.0.2", "port": 2})
    etcd.put(P + "d/3", {"host": "v6.test", "port": 3})
    hosts = "    hosts {\n        10.9.9.9 out.test\n        fd00::9 v6.test\n        fallthrough\n    }\n"
    text = corefile("endpoint " + etcd.url).replace("    etcd", hosts + "    etcd", 1)
    with Server(signpost, tmp_path, text) as server:
        listed(server)
        assert server.addresses("c03.etcd.test") == []  # nine CNAMEs
        assert len(records(server.ask("c04.etcd.test").answer)) == 9
        assert [r[2:] for r in records(server.ask("d.etcd.test").answer)] == [
            ("CNAME", "out.test."), ("A", "10.9.9.9"), ("A", "10.0.0.2"), ("CNAME", "v6.test.")]
        srv = server.ask("d.etcd.test", "SRV")
        assert [r[3] for r in records(srv.answer)] == [
            "10 33 1 out.test.", "10 33 2 2.d.etcd.test.", "10 33 3 v6.test."]
        assert [r[3] for r in records(srv.additional) if r[2] != "OPT"] == [
            "10.9.9.9", "10.0.0.2", "fd00::9"]
        for key, value in (("n/1", {"host": "out.test"}), ("n/2", {"host": "out.test"}),
                           ("i/1", {"host": "10.0.0.1", "targetstrip": 1}),
                           ("i/2", {"host": "10.0.0.2", "targetstrip": 1})):
            etcd.put(P + key, value)
        server.until("2.i.etcd.test", ["10.0.0.2"], 5)
        assert server.addresses("n.etcd.test", "SRV") == ["10 50 0 out.test."] * 2
        assert server.addresses("i.etcd.test", "SRV") == ["10 50 0 i.etcd.test."]
        mx = server.ask("d.etcd.test", "MX")
        assert [r[3] for r in records(mx.answer) + records(mx.additional)] == [
            "10 out.test.", "10.9.9.9"]


def test_names_that_lead_to_ever_more(signpost, tmp_path, etcd):
    """Thirty host names at each of eight levels: no answer may take that long."""
    for level in range(9):
        put_all(etcd, [(P + "l%d/%d" % (level, i), '{"host":"l%d.etcd.test"}' % (level + 1))
                       for i in range(30)])
    etcd.put(P + "other", {"host": "10.0.0.1"})
    with serve(signpost, tmp_path, "endpoint " + etcd.url) as server:
        server.until("other.etcd.test", ["10.0.0.1"], 15)
        start = time.monotonic()
        assert server.ask("l0.etcd.test").flags & dns.flags.TC
        assert server.addresses("other.etcd.test") == ["10.0.0.1"]
        assert time.monotonic() - start < 2


def test_a_reload_keeps_what_was_read(signpost, tmp_path, etcd):
    etcd.put(P + "a", {"host": "10.0.0.1"})
    text = corefile("endpoint " + etcd.url).replace("    errors\n", "    errors\n    reload 2s 1s\n")
    with Server(signpost, tmp_path, text) as server:
        server.until("a.etcd.test", ["10.0.0.1"], 15)
        etcd.stop()
        server.path.write_text(server.path.read_text() + "other.:%d {\n    bind 127.0.0.1\n"
                               "    whoami\n}\n" % server.port)
        end = time.monotonic() + 15
        while server.addresses("x.other", "A") == "REFUSED":
            assert time.monotonic() < end, server.log()
            assert server.addresses("a.etcd.test") == ["10.0.0.1"]
            time.sleep(0.02)
        assert server.addresses("a.etcd.test") == ["10.0.0.1"]


WRONG = {
    "path": "Wrong argument count or unexpected line ending after 'path'",
    "path a b": "unknown property 'b'",
    "endpoint": "Wrong argument count or unexpected line ending after 'endpoint'",
    "credentials": "Wrong argument count or unexpected line ending after 'credentials'",
    "credentials a": "credentials requires 2 arguments, username and password",
    "credentials a b c": "credentials requires 2 arguments, username and password",
    "tls a b c d": "maximum of three arguments allowed for TLS config, found 4",
    "tls nofile": "error reading nofile: open nofile: No such file or directory",
    "tls a b": "could not load TLS cert: open a: No such file or directory",
    "tls Corefile": "could not read root certs: Corefile: there is no certificate in PEM form in it",
    "min-lease-ttl": "Wrong argument count or unexpected line ending after 'min-lease-ttl'",
    "min-lease-ttl x": "invalid min-lease-ttl value: invalid TTL format",
    "min-lease-ttl -5s": "invalid min-lease-ttl value: TTL must be non-negative",
    "max-lease-ttl 99999999999": "invalid max-lease-ttl value: invalid TTL format",
    "max-lease-ttl 2000000h": "invalid max-lease-ttl value: TTL too large",
    "endpoint ftp://a": "'ftp://a' is not a http:// or https:// URL",
    "bananas": "unknown property 'bananas'",
}


@pytest.mark.parametrize("line", WRONG)
def test_refusals(signpost, tmp_path, line):
    status, out = run_until_end(signpost, tmp_path,
                                ".:%d {\n    etcd a.test {\n        %s\n    }\n}\n" % (free_port(), line))
    assert status == 1
    assert "Corefile:3 - Error during parsing: " + WRONG[line] in out


@pytest.mark.parametrize("line", ["tls", "upstream 1.1.1.1", "stubzones", "path /", "debug",
                                  "min-lease-ttl 5", "max-lease-ttl 1.5s", "fallthrough x"])
def test_what_is_taken(signpost, tmp_path, line):
    with serve(signpost, tmp_path, "endpoint http://127.0.0.1:%d" % lib.free_ports(1)[0], line) as server:
        assert records(server.ask("a.etcd.test", "SOA").answer)
