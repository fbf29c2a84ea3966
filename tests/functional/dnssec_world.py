"""Keys in the form of dnssec-keygen, and what a validator makes of a reply."""
import base64
import subprocess

import dns.dnssec
import dns.flags
import dns.name
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from dns_world import free_port, run_until_end
from small_world import block

KSK, ZSK = 257, 256
NAMES = {5: "RSASHA1", 7: "NSEC3RSASHA1", 8: "RSASHA256", 10: "RSASHA512", 13: "ECDSAP256SHA256",
         14: "ECDSAP384SHA384", 15: "ED25519"}


def b64(number, size=None):
    size = size or (number.bit_length() + 7) // 8
    return base64.b64encode(number.to_bytes(size, "big")).decode()


def rsa_parts():
    n = rsa.generate_private_key(65537, 1024).private_numbers()
    public = n.public_numbers
    exponent = public.e.to_bytes(3, "big")
    fields = {"Modulus": public.n, "PublicExponent": public.e, "PrivateExponent": n.d,
              "Prime1": n.p, "Prime2": n.q, "Exponent1": n.dmp1, "Exponent2": n.dmq1,
              "Coefficient": n.iqmp}
    return (bytes([3]) + exponent + public.n.to_bytes(128, "big"),
            "".join("%s: %s\n" % (name, b64(value)) for name, value in fields.items()))


def ec_parts(curve, size):
    n = ec.generate_private_key(curve).private_numbers()
    public = n.public_numbers
    return (public.x.to_bytes(size, "big") + public.y.to_bytes(size, "big"),
            "PrivateKey: %s\n" % b64(n.private_value, size))


def ed_parts():
    key = ed25519.Ed25519PrivateKey.generate()
    raw = serialization.Encoding.Raw
    secret = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    return (key.public_key().public_bytes(raw, serialization.PublicFormat.Raw),
            "PrivateKey: %s\n" % base64.b64encode(secret).decode())


class Key:
    """A new key, written to the folder as two files."""

    def __init__(self, folder, zone, algorithm=13, flags=KSK, ttl=""):
        public, secret = {13: lambda: ec_parts(ec.SECP256R1(), 32),
                          14: lambda: ec_parts(ec.SECP384R1(), 48),
                          15: ed_parts}.get(algorithm, rsa_parts)()
        self.zone = dns.name.from_text(zone)
        self.text = "%d 3 %d %s" % (flags, algorithm, base64.b64encode(public).decode())
        self.rdata = dns.rdata.from_text("IN", "DNSKEY", self.text)
        self.tag = dns.dnssec.key_id(self.rdata)
        self.base = folder / ("K%s+%03d+%05d" % (self.zone, algorithm, self.tag))
        self.public = folder / (self.base.name + ".key")
        self.private = folder / (self.base.name + ".private")
        self.public.write_text("; a key\n%s %s IN DNSKEY %s\n" % (self.zone, ttl, self.text))
        self.private.write_text("Private-key-format: v1.3\nAlgorithm: %d (%s)\n%s"
                                "Created: 20260101000000\n" % (algorithm, NAMES[algorithm], secret))


def keyring(*keys):
    ring = {}
    for key in keys:
        empty = dns.rrset.RRset(key.zone, key.rdata.rdclass, key.rdata.rdtype)
        ring.setdefault(key.zone, empty).add(key.rdata, 3600)
    return ring


def signatures(section, rrset):
    return [sig for found in section if found.rdtype == dns.rdatatype.RRSIG
            and found.name == rrset.name for sig in found if sig.type_covered == rrset.rdtype]


def merged(section):
    """The sections of dns_world's replies hold a record each; a signature is over all of a set."""
    sets = {}
    for one in section:
        key = (one.name, one.rdtype, one.covers)
        sets.setdefault(key, dns.rrset.RRset(one.name, one.rdclass, one.rdtype, one.covers))
        for rdata in one:
            sets[key].add(rdata, one.ttl)
    return list(sets.values())


def unproven(section, ring):
    """Names and types of the sets that no signature holds for. Each signature must hold."""
    sets, without = merged(section), []
    for rrset in sets:
        if rrset.rdtype == dns.rdatatype.RRSIG:
            continue
        found = signatures(sets, rrset)
        if not found:
            without.append("%s %s" % (rrset.name, dns.rdatatype.to_text(rrset.rdtype)))
        for sig in found:
            dns.dnssec.validate_rrsig(rrset, sig, ring)
    return without


def check(reply, ring, unsigned=()):
    """All sections are signed, and well, but for those sets."""
    without = [text for s in (reply.answer, reply.authority, reply.additional)
               for text in unproven(s, ring)]
    assert sorted(without) == sorted(unsigned)
    return reply


def types_of(nsec):
    return nsec.to_text().split(" ")[1:]


def denial(reply):
    """(owner, next name, types) of the one NSEC record."""
    found = [r for r in reply.authority if r.rdtype == dns.rdatatype.NSEC]
    assert len(found) == 1, reply
    return found[0].name.to_text(), found[0][0].next.to_text(), types_of(found[0][0])


def delv(folder, port, key, name, rdtype):
    """What a validating resolver says that trusts that key."""
    anchors = folder / "anchors"
    flags, protocol, algorithm, public = key.text.split()
    anchors.write_text('trust-anchors { %s static-key %s %s %s "%s"; };\n' %
                       (key.zone, flags, protocol, algorithm, public))
    ran = subprocess.run(["delv", "-a", anchors, "+root=%s" % key.zone, "@127.0.0.1", "-p",
                          str(port), name, rdtype], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    return ran.stdout


def check_refused(signpost, folder, text, line, words):
    """The plugin that the text begins with must not start, and say why and where."""
    corefile = block(text + "\nwhoami", "example.org").replace("@PORT@", str(free_port()))
    code, output = run_until_end(signpost, folder, corefile)
    start = "plugin/%s: Corefile:%d - Error during parsing: " % (text.split()[0], line)
    assert code == 1 and start in output, output
    assert words in output.split(start)[1], output
