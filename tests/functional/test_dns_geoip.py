"""`geoip`: the labels of databases that the tests write themselves."""
import contextlib

import dns.edns
import pytest

import mmdb
from dns_world import Server, run_until_end
from test_dns_small_pages import example

CITY = {
    "city/name": "Cambridge", "country/code": "GB", "country/name": "United Kingdom",
    "country/is_in_european_union": "true", "continent/code": "EU", "continent/name": "Europe",
    "latitude": "52.2242", "longitude": "-0.1315", "timezone": "Europe/London",
    "postalcode": "CB4", "subdivisions/code": "ENG,CAM",
}
ASN = {"asn/number": "12552", "asn/org": "IP-Only"}
EMPTY = {name: "false" if "union" in name else "" for name in CITY}
NAMES = [*CITY, *ASN, "city/names/en", "nothing", ""]


@pytest.fixture
def start(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        def begin(lines, kind="GeoLite2-City", networks=None, options="", **more):
            mmdb.write(tmp_path / "t.mmdb", kind, networks or {"127.0.0.0/8": mmdb.city()}, **more)
            return stack.enter_context(Server(
                signpost, tmp_path, ".:@PORT@ {\n bind 127.0.0.1\n metadata\n geoip t.mmdb %s\n"
                " %s\n}\n" % (options, lines)))
        yield begin


def labels(begin, ecs=None, **more):
    """All labels that there are, as `log` prints them."""
    line = "|".join("{/geoip/%s}" % name for name in NAMES)
    server = begin('log . "labels|%s|end"\n whoami' % line, **more)
    options = {"use_edns": 0, "options": [ecs]} if ecs else {}
    server.ask("x.", **options)
    server.wait_log("|end")
    values = server.log().split("labels|")[1].split("|end")[0].split("|")
    return {name: value for name, value in zip(NAMES, values) if value != "-"}


def test_city(start):
    assert labels(start) == CITY


@pytest.mark.parametrize("kind", ["GeoIP2-City-Europe", "GeoIP2-Country", "GeoIP2-Enterprise",
                                  "DBIP-Location (compat=City)"])
def test_kinds_with_cities(start, kind):
    assert labels(start, kind=kind) == CITY


@pytest.mark.parametrize("kind", ["GeoLite2-ASN", "GeoIP2-ISP",
                                  "DBIP-ASN-Lite (compat=GeoLite2-ASN)"])
def test_kinds_with_systems(start, kind):
    record = dict(mmdb.city(), **mmdb.asn())
    assert labels(start, kind=kind, networks={"127.0.0.0/8": record}) == ASN


def test_database_of_addresses_of_version_4(start):
    assert labels(start, ip_version=4) == CITY


def test_unknown_address(start):
    assert labels(start, networks={"10.0.0.0/8": mmdb.city()}) == EMPTY


def test_unknown_system(start):
    found = labels(start, kind="GeoLite2-ASN", networks={"10.0.0.0/8": mmdb.asn()})
    assert found == {"asn/number": "0", "asn/org": ""}


@pytest.mark.parametrize("record, differs", [
    ({}, {}),
    ({"city": {"names": {"de": "K"}}}, {}),
    ({"location": {"latitude": mmdb.Double(0)}}, {"latitude": "0"}),
    ({"location": {"latitude": 1.5, "longitude": mmdb.Double(100)}},
     {"latitude": "1.5", "longitude": "100"}),
    ({"subdivisions": []}, {}),
    ({"subdivisions": [{}, {"iso_code": "B"}]}, {"subdivisions/code": ",B"}),
    ({"country": {"iso_code": 7, "names": {"en": "Seven"}}}, {"country/name": "Seven"}),
    ({"city": "text"}, {}),
])
def test_records_that_lack_something(start, record, differs):
    assert labels(start, networks={"127.0.0.0/8": record}) == dict(EMPTY, **differs)


NETWORKS = {"127.0.0.0/8": mmdb.city(), "192.0.2.0/24": mmdb.city(country={"iso_code": "FR"}),
            "2001:db8::/32": mmdb.city(country={"iso_code": "SE"})}


@pytest.mark.parametrize("address, bits, code", [
    ("192.0.2.7", 32, "FR"), ("192.0.2.0", 24, "FR"), ("192.0.0.0", 8, ""),
    ("2001:db8::1", 128, "SE"), ("0.0.0.0", 0, ""), (None, None, "GB"),
])
def test_client_subnet(start, address, bits, code):
    ecs = dns.edns.ECSOption(address, bits) if address else None
    found = labels(start, ecs, options="{\n edns-subnet\n }", networks=NETWORKS)
    assert found["country/code"] == code


def test_client_subnet_is_not_believed_unasked(start):
    found = labels(start, dns.edns.ECSOption("192.0.2.7", 32), networks=NETWORKS)
    assert found["country/code"] == "GB"


def test_view_template_and_rewrite(start):
    server = start("""view gb {
        expr metadata('geoip/country/code') == 'GB'
    }
    template IN TXT {
        answer "{{ .Name }} 60 IN TXT {{ .Meta \\"geoip/city/name\\" }}"
    }
    template IN A {
        answer "{{ .Name }} 60 IN A 192.0.2.1"
    }""")
    assert server.addresses("x.", rdtype="TXT") == ['"Cambridge"']


def test_view_elsewhere(start):
    server = start("view fr {\n expr metadata('geoip/country/code') == 'FR'\n }\n whoami")
    assert server.addresses("x.") == "REFUSED"


def test_without_metadata_nothing_is_offered(signpost, tmp_path):
    mmdb.write(tmp_path / "t.mmdb", "GeoLite2-City", {"127.0.0.0/8": mmdb.city()})
    with Server(signpost, tmp_path, '.:@PORT@ {\n bind 127.0.0.1\n geoip t.mmdb\n'
                ' log . "label={/geoip/city/name}."\n whoami\n}\n') as server:
        server.ask("x.")
        server.wait_log("label=-.")


@pytest.mark.parametrize("text, why", [
    ("geoip", "Wrong argument count or unexpected line ending after 'geoip'"),
    ("geoip t.mmdb more", "Wrong argument count or unexpected line ending after 'more'"),
    ("geoip none.mmdb", "failed to open database file: open none.mmdb: No such file"),
    ("geoip broken.mmdb", "failed to open database file: open broken.mmdb: The MaxMind DB file"),
    ("geoip domain.mmdb", 'is of the type "GeoIP2-Domain", which is not supported'),
    ("geoip other.mmdb", 'is of the type "Other", which is not supported'),
    ("geoip t.mmdb {\n languages de\n }", "unknown property 'languages'"),
    ("geoip t.mmdb {\n edns-subnet x\n }", "Wrong argument count"),
    ("geoip t.mmdb\n geoip t.mmdb", "configuring multiple databases is not supported"),
])
def test_refusals(signpost, tmp_path, text, why):
    mmdb.write(tmp_path / "t.mmdb", "GeoLite2-City", {"127.0.0.0/8": mmdb.city()})
    mmdb.write(tmp_path / "domain.mmdb", "GeoIP2-Domain", {"127.0.0.0/8": {"domain": "x"}})
    mmdb.write(tmp_path / "other.mmdb", "Other", {"127.0.0.0/8": {}})
    (tmp_path / "broken.mmdb").write_bytes(b"nothing")
    code, output = run_until_end(signpost, tmp_path, ".:0 {\n %s\n}\n" % text)
    assert code == 1 and why in output and "plugin/geoip: Corefile:" in output, output


# ---- the page ----

def test_example(signpost, tmp_path):
    mmdb.write(tmp_path / "city.mmdb", "GeoLite2-City", {"127.0.0.0/8": mmdb.city()})
    (tmp_path / "europe.db").write_text("@ 60 IN SOA ns root 1 60 60 60 60\nwww 60 IN A 192.0.2.7\n")
    text = example("geoip").replace("/var/lib/GeoIP/GeoLite2-City.mmdb", "city.mmdb")
    with Server(signpost, tmp_path, text) as server:
        assert server.addresses("www.example.org.") == ["192.0.2.7"]
    mmdb.write(tmp_path / "city.mmdb", "GeoLite2-City", {"10.0.0.0/8": mmdb.city()})
    with Server(signpost, tmp_path, text) as server:
        assert server.addresses("www.example.org.") == "REFUSED"
