"""What people's own tools make of the server: dig, kdig, nslookup, and the C library by getent."""
import re
import subprocess
import textwrap

import pytest

from dns_world import Server

OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {name: prod}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: prod}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:10:96::10"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports: [{name: http, port: 80}]
"""
ZONE = """$ORIGIN example.org.
@ 300 IN SOA ns root 7 3600 600 86400 60
@ 300 IN NS ns
ns 300 IN A 192.0.2.53
www 300 IN A 192.0.2.1
www 300 IN AAAA 2001:db8::1
www 300 IN RRSIG A 13 3 300 20370101000000 20200101000000 1 example.org. c2lnbmF0dXJl
alias 300 IN CNAME www
mail 300 IN MX 10 www
text 300 IN TXT "two words" "more"
big 300 IN TXT %s
""" % " ".join('"%03d%s"' % (i, "x" * 120) for i in range(12))
COREFILE = """example.org:@PORT@ {
    bind 127.0.0.1
    nsid rack 7
    file @DIR@/db.example.org
    transfer {
        to *
    }
}
cluster.local:@PORT@ 10.in-addr.arpa:@PORT@ {
    bind 127.0.0.1
    kubernetes cluster.local 10.in-addr.arpa {
        manifests @DIR@/objects
    }
}
echo.test:@PORT@ {
    bind 127.0.0.1
    rewrite edns0 subnet set 24 56
    template IN TXT {
        answer "{{ .Name }} 0 IN TXT \\"{{ .Remote }}\\""
    }
}
"""


@pytest.fixture(name="world", scope="module")
def world_fixture(signpost, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    write_world(folder)
    with Server(signpost, folder, COREFILE, "-workers", "1") as s:
        yield s


def write_world(folder):
    (folder / "objects").mkdir()
    (folder / "objects" / "a.yaml").write_text(OBJECTS)
    (folder / "db.example.org").write_text(ZONE)


def run(*command):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False,
                         stdin=subprocess.DEVNULL)
    return ran.returncode, ran.stdout + ran.stderr


def squeezed(text):
    """One blank between words; no empty lines, nor dig's repetition of its arguments."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("; <<>>")]


class Tool:
    """dig or kdig: they understand each other's arguments."""

    def __init__(self, program, world):
        self.program, self.world = program, world

    def __call__(self, *args):
        code, text = run(self.program, "@127.0.0.1", "-p", str(self.world.port), *args)
        assert code == 0, text
        return squeezed(text)

    def short(self, *args):
        return sorted(self("+short", *args))


@pytest.fixture(name="tool", params=["dig", "kdig"])
def tool_fixture(request, world):
    return Tool(request.param, world)


@pytest.mark.parametrize("args, expected", [
    (["www.example.org", "A"], ["192.0.2.1"]),
    (["www.example.org", "AAAA"], ["2001:db8::1"]),
    (["WWW.eXample.ORG", "A"], ["192.0.2.1"]),
    (["alias.example.org", "A"], ["192.0.2.1", "www.example.org."]),
    (["mail.example.org", "MX"], ["10 www.example.org."]),
    (["text.example.org", "TXT"], ['"two words" "more"']),
    (["example.org", "SOA"], ["ns.example.org. root.example.org. 7 3600 600 86400 60"]),
    (["web.prod.svc.cluster.local", "A"], ["10.96.0.10"]),
    (["web.prod.svc.cluster.local", "AAAA"], ["fd00:10:96::10"]),
    (["_http._tcp.web.prod.svc.cluster.local", "SRV"],
     ["0 50 80 web.prod.svc.cluster.local."]),
    (["dns-version.cluster.local", "TXT"], ['"1.1.0"']),
    (["-x", "10.96.0.10"], ["web.prod.svc.cluster.local."]),
    (["nothing.example.org", "A"], []),
])
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_answers(tool, transport, args, expected):
    assert tool.short(transport, *args) == expected


def has(lines, pattern):
    return [line for line in lines if re.search(pattern, line, re.IGNORECASE)]


def test_header_and_sections(tool):
    lines = tool("www.example.org", "A")
    assert has(lines, r"status: NOERROR") and has(lines, r"flags: qr aa rd;")
    assert has(lines, r"^www\.example\.org\. 300 IN A 192\.0\.2\.1$")
    assert has(lines, r"^example\.org\. 300 IN NS ns\.example\.org\.$")
    assert not has(lines, "malformed|mismatch|extra|unexpected|FORMERR")
    lines = tool("nothing.example.org", "A")
    assert has(lines, "status: NXDOMAIN") and has(lines, r"^example\.org\. 300 IN SOA ")
    lines = tool("www.example.org", "LOC")
    assert has(lines, "status: NOERROR") and has(lines, r"^example\.org\. 300 IN SOA ")
    assert has(tool("www.elsewhere.test", "A"), "status: REFUSED")


def test_transfer(tool):
    lines = [line for line in tool("example.org", "AXFR") if line[0] != ";"]
    soa = "example.org. 300 IN SOA ns.example.org. root.example.org. 7 3600 600 86400 60"
    assert lines[0] == lines[-1] == soa and lines.count(soa) == 2
    assert len(lines) == ZONE.count(" IN ") + 1
    for line in ("alias.example.org. 300 IN CNAME www.example.org.",
                 'text.example.org. 300 IN TXT "two words" "more"'):
        assert line in lines


def test_dnssec(tool):
    """Signatures come along for those who want them, and DO is given back."""
    lines = tool("+dnssec", "www.example.org", "A")
    assert has(lines, r"flags: do") and has(lines, r"^www\.example\.org\. 300 IN RRSIG A 13 3 300 ")
    lines = tool("+nodnssec", "www.example.org", "A")
    assert not has(lines, "flags: do") and not has(lines, "RRSIG")


def test_nsid(tool):
    lines = tool("+nsid", "www.example.org", "A")
    assert has(lines, r"NSID: ") and has(lines, r"rack 7")
    assert not has(tool("+nonsid", "www.example.org", "A"), "NSID")


def test_cookie(world):
    """The client's cookie comes back; there is no server cookie."""
    lines = Tool("dig", world)("+cookie=0123456789abcdef", "www.example.org", "A")
    assert has(lines, r"COOKIE: 0123456789abcdef \(echoed\)") and has(lines, "status: NOERROR")
    assert has(Tool("kdig", world)("+cookie=0123456789abcdef", "www.example.org", "A"),
               "status: NOERROR")


def test_subnet(tool):
    """It does no harm, and is not given back by those who make no use of it."""
    lines = tool("+subnet=198.51.100.0/24", "www.example.org", "A")
    assert has(lines, "status: NOERROR") and has(lines, r"IN A 192\.0\.2\.1$")
    assert not has(lines, "SUBNET: ")
    assert tool.short("+subnet=198.51.100.0/24", "x.echo.test", "TXT") == ['"127.0.0.1"']


def test_bufsize(tool):
    """What does not fit is cut, and asked again over TCP unless that is forbidden."""
    lines = tool("+bufsize=600", "+ignore", "+notcp", "big.example.org", "TXT")
    assert has(lines, r"flags: qr aa tc rd;") and not has(lines, r'"000x')
    lines = tool("+bufsize=4000", "+ignore", "+notcp", "big.example.org", "TXT")
    assert has(lines, r"flags: qr aa rd;") and has(lines, r'"011x+"')
    assert has(lines, r"udp: 4000|UDP size: 4000 B")
    lines = tool("+bufsize=600", "big.example.org", "TXT")
    assert has(lines, r'"000x+"') and has(lines, r"\(TCP\)")
    lines = tool("+noedns", "+ignore", "+notcp", "big.example.org", "TXT")
    assert has(lines, r"flags: qr aa tc rd;") and not has(lines, "EDNS")


def test_dig_checks(world):
    """dig's own complaints: an unknown EDNS version, an unknown option, flags."""
    dig = Tool("dig", world)
    lines = dig("+edns=1", "+noednsnegotiation", "www.example.org", "A")
    assert has(lines, "status: BADVERS") and has(lines, "version: 0")
    assert has(dig("+edns=1", "www.example.org", "A"), r"IN A 192\.0\.2\.1$")  # asked again
    assert has(dig("+ednsopt=65001:00ff", "www.example.org", "A"), r"IN A 192\.0\.2\.1$")
    assert has(dig("+norecurse", "www.example.org", "A"), r"flags: qr aa;")
    assert has(dig("+opcode=status", "www.example.org", "A"), "status: NOTIMP")
    lines = dig("+tcp", "+keepopen", "www.example.org", "A", "alias.example.org", "A")
    assert len(has(lines, r"IN A 192\.0\.2\.1$")) == 2


def test_search_list(world, tmp_path):
    """dig's own walk of a search list."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\nsearch prod.svc.cluster.local svc.cluster.local"
                    " cluster.local\noptions ndots:5\n")
    script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
    code, text = run("unshare", "-Urm", "sh", "-c", script, "sh", str(conf), "dig", "+search",
                     "+showsearch", "-p", str(world.port), "web", "A")
    lines = squeezed(text)
    assert code == 0 and has(lines, r"^web\.prod\.svc\.cluster\.local\. 5 IN A 10\.96\.0\.10$")
    code, text = run("unshare", "-Urm", "sh", "-c", script, "sh", str(conf), "dig", "+search",
                     "+showsearch", "-p", str(world.port), "web.prod.svc", "A")
    lines = squeezed(text)
    assert len(has(lines, "status: NXDOMAIN")) == 2  # the first two elements
    assert has(lines, r"^web\.prod\.svc\.cluster\.local\. 5 IN A 10\.96\.0\.10$")


def nslookup(world, *args):
    code, text = run("nslookup", "-port=%d" % world.port, *args, "127.0.0.1")
    return code, squeezed(text)


def test_nslookup(world):
    code, lines = nslookup(world, "www.example.org")
    assert code == 0 and lines[0] == "Server: 127.0.0.1"
    assert lines[2:] == ["Name: www.example.org", "Address: 192.0.2.1", "Name: www.example.org",
                         "Address: 2001:db8::1"]
    code, lines = nslookup(world, "alias.example.org")
    assert code == 0 and "alias.example.org canonical name = www.example.org." in lines
    code, lines = nslookup(world, "-type=SRV", "_http._tcp.web.prod.svc.cluster.local")
    assert code == 0
    assert ("_http._tcp.web.prod.svc.cluster.local service = 0 50 80 web.prod.svc.cluster.local."
            in lines)
    code, lines = nslookup(world, "10.96.0.10")
    assert code == 0 and "10.0.96.10.in-addr.arpa name = web.prod.svc.cluster.local." in lines
    code, lines = nslookup(world, "-type=TXT", "-vc", "big.example.org")
    assert code == 0 and has(lines, '"000x+"')
    code, lines = nslookup(world, "nothing.example.org")
    assert code == 1 and "** server can't find nothing.example.org: NXDOMAIN" in lines


# ---- the C library ----

POD_CONF = "nameserver 127.0.0.1\nsearch %s\noptions ndots:5 timeout:2 attempts:2\n" % (
    "prod.svc.cluster.local svc.cluster.local cluster.local")


@pytest.fixture(name="pod", scope="module")
def pod_fixture(signpost, tmp_path_factory):
    """Runs a script as in a Pod: a network of its own, in which the server is the nameserver."""
    folder = tmp_path_factory.mktemp("pod")
    write_world(folder)
    corefile = COREFILE.replace("@PORT@", "53").replace("@DIR@", str(folder))
    (folder / "Corefile").write_text(corefile)
    (folder / "resolv.conf").write_text(POD_CONF)
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n192.0.2.99 listed.example.org listed\n")
    prepare = textwrap.dedent("""\
        cd "$1"; signpost=$2; shift 2
        for file in resolv.conf nsswitch.conf hosts; do
            mount --bind $file /etc/$file || exit 90
        done
        ip link set lo up && ip addr add 192.0.2.200 dev lo && ip addr add 2001:db8::200 dev lo ||
            exit 91
        $signpost dns -conf Corefile -workers 1 >log 2>&1 &
        server=$!
        for i in $(seq 200); do
            dig +time=1 +tries=1 +short @127.0.0.1 example.org SOA | grep -q root && break
            sleep 0.05
        done
        "$@"; code=$?
        kill $server; wait $server
        [ $? = 0 ] || { cat log >&2; exit 92; }
        exit $code
        """)

    def execute(*command):
        return run("unshare", "-Urnm", "sh", "-c", prepare, "sh", str(folder), signpost, *command)

    return execute


def test_getent(pod):
    """Names as a container's C library asks for them, with the search list of a Pod."""
    script = textwrap.dedent("""\
        for name in web web.prod web.prod.svc web.prod.svc.cluster.local. www.example.org listed \\
            nothing nothing.example.org; do
            echo "= $name"; getent ahosts $name
        done
        echo "= reverse"; getent hosts 10.96.0.10
        echo "= v6"; getent ahostsv6 web
        """)
    code, text = pod("sh", "-c", script)
    assert code == 0, text
    found = {}
    for line in squeezed(text):
        if line[0] == "=":
            key = line[2:]
            found[key] = []
        else:
            found[key].append(line)
    both = {"10.96.0.10 STREAM", "fd00:10:96::10 STREAM"}
    for name in ("web", "web.prod", "web.prod.svc", "web.prod.svc.cluster.local."):
        assert {" ".join(line.split()[:2]) for line in found[name]} >= both, text
    assert has(found["web"], r"STREAM web\.prod\.svc\.cluster\.local$")
    assert has(found["www.example.org"], r"^192\.0\.2\.1 STREAM")
    assert has(found["listed"], r"^192\.0\.2\.99 ") and not has(found["listed"], "DGRAM x")
    assert found["nothing"] == found["nothing.example.org"] == []
    assert found["reverse"] == ["10.96.0.10 web.prod.svc.cluster.local"]
    assert has(found["v6"], r"^fd00:10:96::10 STREAM")


def test_tools_with_a_search_list(pod):
    """nslookup and dig walk the Pod's search list by themselves; kdig takes the nameserver."""
    code, text = pod("sh", "-c", "nslookup web; kdig web.prod.svc.cluster.local;"
                                 " dig +search +short web.prod.svc")
    lines = squeezed(text)
    assert code == 0, text
    assert "Name: web.prod.svc.cluster.local" in lines and "Address: 10.96.0.10" in lines
    assert has(lines, r"^web\.prod\.svc\.cluster\.local\. 5 IN A 10\.96\.0\.10$")
    assert lines[-1] == "10.96.0.10"
