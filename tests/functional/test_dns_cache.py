"""`cache` in front of a scripted upstream that counts: what is kept, for how long, and who asks."""
import concurrent.futures
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from forward_world import Server, Upstream, wait_for

BLOCK = """.:@PORT@ {
    bind 127.0.0.1
    errors
    prometheus @METRICS@
    cache %s
    forward . %s
}
"""
NXDOMAIN, SERVFAIL = dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL


class Script:
    """What the upstream does: the tests change it while it runs."""

    def __init__(self):
        self.rcode, self.ttl, self.delay, self.flags = dns.rcode.NOERROR, 60, 0, 0
        self.address, self.silent = "192.0.2.1", False

    def act(self, query, _):
        if self.silent:
            return []
        question = query.question[0]
        message = dns.message.make_response(query)
        message.flags |= self.flags
        message.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR and self.address:
            message.answer.append(dns.rrset.from_text(
                question.name, self.ttl, "IN", "A", self.address))
        elif self.rcode in (NXDOMAIN, dns.rcode.NOERROR):
            message.authority.append(dns.rrset.from_text(
                "example.org.", self.ttl, "IN", "SOA", "ns. root. 1 2 3 4 5"))
        return [(self.delay, message.to_wire())]


@pytest.fixture
def world(signpost, tmp_path):
    made = []

    class World:
        script = Script()

        @classmethod
        def start(cls, options, workers=1):
            cls.up = Upstream(cls.script.act)
            made.append(cls.up)
            made.append(Server(signpost, tmp_path, BLOCK % (options, cls.up), workers))
            return made[-1]

    yield World
    for thing in reversed(made):
        thing.stop() if isinstance(thing, Server) else thing.close()


def seen(message):
    """rcode, addresses and TTLs of a reply in one."""
    records = [(r.ttl, d.to_text()) for s in (message.answer, message.authority)
               for r in s for d in r if r.rdtype == 1 or r.rdtype == 6]
    return dns.rcode.to_text(message.rcode()), [ttl for ttl, _ in records]


def sleep_until(start, seconds):
    time.sleep(max(0, start + seconds - time.monotonic()))


# ---- plain ----


def test_second_answer_comes_from_the_cache(world):
    server = world.start("30")
    first = server.ask("WWW.example.org.")
    start = time.monotonic()
    assert seen(first) == ("NOERROR", [30]) and not first.flags & dns.flags.AA
    sleep_until(start, 1.2)
    second = server.ask("www.Example.org.")
    assert seen(second) == ("NOERROR", [29]) and second.flags & dns.flags.AA
    assert second.question[0].name.to_text() == "www.Example.org."
    assert world.up.asked() == 1
    assert server.metric("coredns_cache_requests_total") == 2
    assert server.metric("coredns_cache_misses_total") == 1
    assert server.metric('coredns_cache_hits_total{.*type="success"') == 1
    assert server.metric('coredns_cache_entries{.*type="success"', 1) == 1
    assert server.metric('coredns_cache_entries{.*type="denial"', 1) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_all_workers_share_it(world, workers):
    server = world.start("30", workers)
    for _ in range(40):
        assert seen(server.ask())[0] == "NOERROR"
    assert world.up.asked() == 1


def test_flags_of_the_query_have_their_own_entries(world):
    server = world.start("30")
    server.ask()
    server.ask(use_edns=0, want_dnssec=True)
    query = dns.message.make_query("www.example.org.", "A")
    query.flags |= dns.flags.CD
    assert server.send(query).flags & dns.flags.CD
    assert world.up.asked() == 3
    server.ask(use_edns=0)
    assert world.up.asked() == 3


def test_ad(world):
    """Asked for upstream, kept, and told to those who ask for it."""
    world.script.flags = dns.flags.AD
    server = world.start("30")
    assert not server.ask().flags & dns.flags.AD
    assert world.up.queries[0][0].flags & dns.flags.AD
    assert not server.ask().flags & dns.flags.AD
    query = dns.message.make_query("www.example.org.", "A")
    query.flags |= dns.flags.AD
    assert server.send(query).flags & dns.flags.AD
    assert world.up.asked() == 1


def test_denial(world):
    world.script.rcode, world.script.ttl = NXDOMAIN, 3000
    server = world.start("{\n denial 2000 20\n}")
    assert seen(server.ask()) == seen(server.ask()) == ("NXDOMAIN", [20])
    assert world.up.asked() == 1
    assert server.metric('coredns_cache_hits_total{.*type="denial"') == 1


def test_servfail_is_kept_briefly(world):
    world.script.rcode = SERVFAIL
    server = world.start("{\n servfail 1s\n}")
    start = time.monotonic()
    assert [server.ask().rcode() for _ in range(3)] == [SERVFAIL] * 3
    assert world.up.asked() == 1
    world.script.rcode = dns.rcode.NOERROR
    sleep_until(start, 1.2)
    assert seen(server.ask())[0] == "NOERROR"


def test_servfail_of_the_servers_own_is_not_kept(world):
    server = world.start("30")
    world.up.close()
    world.up.close = lambda: None
    assert [server.ask().rcode() for _ in range(2)] == [SERVFAIL] * 2
    assert server.metric("coredns_cache_misses_total") == 2


def test_what_is_never_kept(world):
    server = world.start("30")
    world.script.rcode = dns.rcode.REFUSED
    assert [server.ask("a.example.org.").rcode() for _ in range(2)] == [dns.rcode.REFUSED] * 2
    world.script.rcode, world.script.flags = dns.rcode.NOERROR, dns.flags.TC
    server.ask("b.example.org.")
    server.ask("b.example.org.")
    assert world.up.asked() == 4


def test_disable(world):
    world.script.ttl = 2000
    server = world.start("50 {\n disable success no.example.org\n disable denial\n}")
    for name in ("www.no.example.org.", "www.example.org."):
        assert [seen(server.ask(name)) for _ in range(2)] == [("NOERROR", [50])] * 2
    assert world.up.asked("www.no.example.org.") == 2 and world.up.asked("www.example.org.") == 1
    world.script.rcode = NXDOMAIN
    assert [seen(server.ask("nope.example.org.")) for _ in range(2)] == [("NXDOMAIN", [50])] * 2
    assert world.up.asked("nope.example.org.") == 2


def test_zones(world):
    world.script.ttl = 2000
    server = world.start("50 in.example.org")
    assert [seen(server.ask())[1] for _ in range(2)] == [[2000]] * 2
    assert [seen(server.ask("a.in.example.org."))[1] for _ in range(2)] == [[50]] * 2
    assert world.up.asked() == 3
    assert server.metric('coredns_cache_requests_total{.*zones="in.example.org."') == 2


def test_keepttl(world):
    server = world.start("30 {\n keepttl\n}")
    start = time.monotonic()
    server.ask()
    sleep_until(start, 1.3)
    assert seen(server.ask()) == ("NOERROR", [30]) and world.up.asked() == 1


def test_capacity_is_kept_to(world):
    server = world.start("300 {\n success 1024\n}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: server.ask("n%d.example.org." % i), range(1500)))
    entries = server.metric('coredns_cache_entries{.*type="success"')
    assert 700 < entries <= 1024
    assert server.metric('coredns_cache_evictions_total{.*type="success"') == 1500 - entries


# ---- many at once ----


def ask_at_once(server, n, **options):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        barrier = threading.Barrier(n)

        def one(_):
            barrier.wait()
            return server.ask(**options)
        return list(pool.map(one, range(n)))


@pytest.mark.parametrize("workers", [1, 4])
def test_equal_questions_are_asked_once(world, workers):
    world.script.delay = 0.4
    server = world.start("30", workers)
    replies = ask_at_once(server, 24)
    assert {(r.rcode(), r.answer[0][0].address, r.answer[0].ttl) for r in replies} == {
        (0, "192.0.2.1", 30)}
    assert world.up.asked() == 1
    waited = server.metric("signpost_cache_coalesced_total")
    hits = server.metric("coredns_cache_hits_total")
    assert waited > 12 and waited + hits == 23
    assert server.metric("coredns_cache_misses_total") + hits == 24


def test_equal_questions_that_fail(world):
    """Refusals are not kept, but those who waited are told."""
    world.script.delay, world.script.rcode = 0.4, dns.rcode.REFUSED
    server = world.start("30", 2)
    assert {r.rcode() for r in ask_at_once(server, 12)} == {dns.rcode.REFUSED}
    assert world.up.asked() == 1


def test_waiting_for_an_upstream_that_is_silent(world):
    world.script.silent = True
    server = world.start("30", 2)
    assert {r.rcode() for r in ask_at_once(server, 8, timeout=15)} == {SERVFAIL}
    assert world.up.asked() < 8


def test_tcp_does_not_wait_for_a_cut_reply(world):
    world.script.delay = 0.4
    server = world.start("30")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = [pool.submit(server.ask, tcp=tcp) for tcp in (False, True)]
        assert [b.result().rcode() for b in both] == [0, 0]
    assert sorted(proto for _, proto in world.up.queries) == ["tcp", "udp"]


def test_ending_while_queries_wait(world):
    world.script.silent = True
    server = world.start("30", 3)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(server.ask, timeout=3) for _ in range(6)]
        wait_for(lambda: world.up.asked() >= 1)
        time.sleep(0.2)
        server.terminate()
        concurrent.futures.wait(asked)


# ---- ahead of the end and after it ----


def test_prefetch(world):
    world.script.ttl = 5
    server = world.start("{\n success 1024 10 1\n prefetch 3 1m 60%\n}")
    start = time.monotonic()
    server.ask()
    for _ in range(4):
        server.ask()
    assert world.up.asked() == 1
    sleep_until(start, 2.3)
    world.script.address = "192.0.2.2"
    assert seen(server.ask()) == ("NOERROR", [3])
    wait_for(lambda: world.up.asked() == 2)
    wait_for(lambda: server.ask().answer[0][0].address == "192.0.2.2")
    assert seen(server.ask())[1][0] >= 4
    assert world.up.asked() == 2
    assert server.metric("coredns_cache_prefetch_total") == 1
    assert server.metric("coredns_cache_misses_total") == 1


def test_prefetch_only_what_is_used(world):
    world.script.ttl = 3
    server = world.start("{\n success 1024 10 1\n prefetch 5 1m 90%\n}")
    start = time.monotonic()
    server.ask()
    sleep_until(start, 1.2)
    server.ask()
    time.sleep(0.3)
    assert world.up.asked() == 1


def short_lived(stale):
    return "{\n success 1024 10 1\n denial 1024 10 1\n serve_stale %s\n}" % stale


def fill_and_expire(world, server):
    world.script.ttl = 1
    assert seen(server.ask()) == ("NOERROR", [1])
    time.sleep(1.1)
    assert world.up.asked() == 1


def test_stale_immediate(world):
    server = world.start(short_lived("1h immediate"))
    fill_and_expire(world, server)
    world.script.delay, world.script.address = 0.3, "192.0.2.2"
    start = time.monotonic()
    replies = [server.ask() for _ in range(5)]
    assert time.monotonic() - start < 0.25
    assert {(r.answer[0].ttl, r.answer[0][0].address) for r in replies} == {(0, "192.0.2.1")}
    wait_for(lambda: server.ask().answer[0][0].address == "192.0.2.2")
    assert world.up.asked() == 2
    assert server.metric("coredns_cache_served_stale_total") >= 5
    assert server.metric("coredns_cache_prefetch_total") == 1


def test_stale_outlives_failures(world):
    server = world.start(short_lived("1h immediate 7s"))
    fill_and_expire(world, server)
    world.script.rcode = SERVFAIL
    for i in range(3):
        assert seen(server.ask()) == ("NOERROR", [7])
        wait_for(lambda i=i: world.up.asked() == i + 2)
        time.sleep(0.05)
    world.script.rcode = NXDOMAIN
    server.ask()
    wait_for(lambda: server.ask().rcode() == NXDOMAIN)


def test_stale_recheck(world):
    server = world.start(short_lived("1h immediate 0s 1m"))
    fill_and_expire(world, server)
    world.script.rcode = SERVFAIL
    server.ask()
    wait_for(lambda: world.up.asked() == 2)
    time.sleep(0.1)
    assert [seen(server.ask()) for _ in range(5)] == [("NOERROR", [0])] * 5
    assert world.up.asked() == 2


def test_stale_ends(world):
    server = world.start(short_lived("1s"))
    fill_and_expire(world, server)
    time.sleep(1.1)
    world.script.address = "192.0.2.2"
    assert server.ask().answer[0][0].address == "192.0.2.2"
    assert server.metric("coredns_cache_served_stale_total") == 0


def test_stale_prefer_positive(world):
    server = world.start(short_lived("1h immediate\n serve_stale_policy prefer_positive"))
    fill_and_expire(world, server)
    world.script.rcode, world.script.ttl = NXDOMAIN, 10
    server.ask()
    wait_for(lambda: server.metric('coredns_cache_entries{.*type="denial"') == 1)
    assert seen(server.ask()) == ("NOERROR", [0])
    wait_for(lambda: world.up.asked() == 3)


def test_stale_denial(world):
    world.script.rcode = NXDOMAIN
    server = world.start(short_lived("1h immediate"))
    world.script.ttl = 1
    server.ask()
    time.sleep(1.1)
    world.script.rcode = SERVFAIL
    assert seen(server.ask()) == ("NXDOMAIN", [0])


def test_stale_verify(world):
    server = world.start(short_lived("1h verify"))
    fill_and_expire(world, server)
    world.script.address = "192.0.2.2"
    assert server.ask().answer[0][0].address == "192.0.2.2"
    time.sleep(1.1)
    world.script.rcode = SERVFAIL
    assert seen(server.ask()) == ("NOERROR", [0])
    world.script.rcode = NXDOMAIN
    assert seen(server.ask()) == ("NXDOMAIN", [1])
    assert world.up.asked() == 4
    assert server.metric("coredns_cache_served_stale_total") == 1
    assert server.metric("coredns_cache_requests_total") == 4
    assert server.metric("coredns_cache_misses_total") == 3


def test_stale_verify_has_a_limit(world):
    server = world.start(short_lived("1h verify 200ms"), 2)
    fill_and_expire(world, server)
    world.script.delay, world.script.address, world.script.ttl = 0.7, "192.0.2.2", 10
    start = time.monotonic()
    replies = ask_at_once(server, 6)
    assert 0.15 < time.monotonic() - start < 0.6
    assert {(r.answer[0].ttl, r.answer[0][0].address) for r in replies} == {(0, "192.0.2.1")}
    time.sleep(0.8)
    assert server.ask().answer[0][0].address == "192.0.2.2"
    assert world.up.asked() == 2


def test_stale_verify_all_at_once(world):
    server = world.start(short_lived("1h verify"), 3)
    fill_and_expire(world, server)
    world.script.delay, world.script.address = 0.3, "192.0.2.2"
    world.script.ttl = 10
    replies = ask_at_once(server, 12)
    assert {r.answer[0][0].address for r in replies} == {"192.0.2.2"}
    assert world.up.asked() == 2


# ---- what cannot be ----


@pytest.mark.parametrize("line, words", [
    ("0", "cache TTL can not be zero or negative: 0"),
    ("{\n nonsense\n}", "Wrong argument count or unexpected line ending after 'nonsense'"),
    ("{\n success 100 0\n}", "cache TTL can not be zero or negative: 0"),
    ("{\n denial 100 10 -1\n}", "cache min TTL can not be negative: -1"),
    ("{\n prefetch 3 1m 95%\n}", "percentage should fall in range [10, 90]: 95"),
    ("{\n prefetch 3 1m 50\n}", "last character of percentage should be `%`: 50"),
    ("{\n serve_stale 1h later\n}", "invalid value for serve_stale refresh mode: later"),
    ("{\n serve_stale 1h verify 1s 5s 6m\n}", "serve_stale failure recheck cannot exceed 5 minutes"),
    ("{\n serve_stale 1h immediate 1500ms\n}", "must be a whole number of seconds"),
    ("{\n serve_stale_policy prefer_positive\n}", "serve_stale_policy requires serve_stale"),
    ("{\n servfail 6m\n}", "caching SERVFAIL responses over 5 minutes is not permitted"),
    ("{\n disable everything\n}", 'cache type for disable must be "success" or "denial"'),
    ("{\n keepttl now\n}", "Wrong argument count or unexpected line ending after 'now'"),
])
def test_lines_that_are_refused(signpost, tmp_path, line, words):
    with pytest.raises(AssertionError) as caught:
        Server(signpost, tmp_path, BLOCK % (line, "127.0.0.1:9"))
    assert "plugin/cache: Corefile:" in str(caught.value) and words in str(caught.value)
