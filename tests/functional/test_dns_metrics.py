"""The series of /metrics: names, labels and that they count what happened."""
import re

import pytest

from dns_world import Server, header, http_get, opt, question

COREFILE = """cluster.local:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    kubernetes {
        manifests @DIR@
    }
}
.:@PORT@ {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:@PORT2@
    whoami
}
silent.test:@PORT@ {
    bind 127.0.0.1
    whoami
}
"""


def scrape(port):
    """{series: value}, after a check of the page's form; HELP and TYPE once a family."""
    status, page = http_get(port, "/metrics")
    assert status == 200
    found, families = {}, []
    for line in page.splitlines():
        if line.startswith("# HELP "):
            families.append(line.split()[2])
        elif not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            assert re.fullmatch(r'[a-z_]+(\{([a-z]+="[^"]*",?)*\})?', series), line
            assert series not in found, line
            found[series] = float(value)
    assert len(families) == len(set(families))
    return found


@pytest.fixture(name="world")
def world_fixture(signpost, tmp_path):
    with Server(signpost, tmp_path, COREFILE, "-workers", "2") as s:
        s.server = 'server="dns://127.0.0.1:%d"' % s.port
        yield s


def labels(world, first, zone):
    return '{%s%s,%sview="",zone="%s"}' % (first[0], world.server, first[1], zone)


def test_requests_and_responses(world):
    for _ in range(3):
        world.ask("kubernetes.default.svc.cluster.local.")
    world.ask("cluster.local.", "SOA", tcp=True)
    world.ask("x.test.", "TYPE65280")
    world.udp(header(ar=1) + question("x.test.", 28) + opt(flags=0x8000))
    world.ask("x.silent.test.")
    found = scrape(world.numbered(2))

    def requests(proto, rdtype, zone):
        return found.get("coredns_dns_requests_total" + labels(
            world, ('family="1",proto="%s",' % proto, 'type="%s",' % rdtype), zone))

    def responses(plugin, rcode, zone):
        return found.get("coredns_dns_responses_total" + labels(
            world, ('plugin="%s",rcode="%s",' % (plugin, rcode), ""), zone))

    assert requests("udp", "A", "cluster.local.") == 3
    assert requests("tcp", "SOA", "cluster.local.") == 1
    assert requests("udp", "other", ".") == 1
    assert requests("udp", "AAAA", ".") == 1
    assert responses("kubernetes", "NXDOMAIN", "cluster.local.") == 3
    assert responses("kubernetes", "NOERROR", "cluster.local.") == 1
    assert responses("whoami", "NOERROR", ".") == 2
    assert found["coredns_dns_do_requests_total" + labels(world, ("", ""), ".")] == 1
    assert not [s for s in found if "silent.test" in s]


def test_histograms(world):
    for _ in range(5):
        world.ask("x.test.")
    found = scrape(world.numbered(2))
    size = 12 + len(question("x.test."))
    for name, first, total in (("dns_request_size_bytes", 'proto="udp",', 5 * size),
                               ("dns_response_size_bytes", 'proto="udp",', None),
                               ("dns_request_duration_seconds", "", None)):
        where = labels(world, (first, ""), ".")
        assert found["coredns_%s_count%s" % (name, where)] == 5
        assert total in (None, found["coredns_%s_sum%s" % (name, where)])
        inner = re.escape(where[1:-1])
        buckets = [(s, v) for s, v in found.items() if re.match(
            r"coredns_%s_bucket\{.*" % name, s) and all(p in s for p in where[1:-1].split(","))]
        assert [v for s, v in buckets if 'le="+Inf"' in s] == [5], (inner, buckets)
        counts = [v for _, v in buckets]
        assert counts == sorted(counts) and len(buckets) in (15, 17)
    seconds = found["coredns_dns_request_duration_seconds_sum" + labels(world, ("", ""), ".")]
    assert 0 < seconds < 1


def test_once_a_process(world):
    found = scrape(world.numbered(2))
    assert [v for s, v in found.items() if s.startswith("coredns_build_info{")] == [1]
    assert found["coredns_panics_total"] == 0
    assert found["process_resident_memory_bytes"] > 1 << 20
    for name, zone in (("kubernetes", "cluster.local."), ("errors", "."), ("whoami", ".")):
        assert found["coredns_plugin_enabled" + labels(world, ('name="%s",' % name, ""), zone)] == 1


def test_malformed_are_counted(world):
    before = scrape(world.numbered(2))["signpost_dns_malformed_total"]
    assert world.udp(header(qd=2) + question("x.") * 2)
    assert scrape(world.numbered(2))["signpost_dns_malformed_total"] == before + 1


def test_sum_over_workers(world):
    """Counts of many clients on both workers add up."""
    for _ in range(300):
        world.ask("x.test.")
    found = scrape(world.numbered(2))
    assert found["coredns_dns_requests_total" + labels(
        world, ('family="1",proto="udp",', 'type="A",'), ".")] == 300
