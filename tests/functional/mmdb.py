"""Writes small MaxMind databases (MaxMind DB file format 2.0)."""
import ipaddress
import struct


class Double(float):
    pass


class Uint(int):
    """An unsigned number with its width in the type: 16, 32, 64 or 128 bits."""

    def __new__(cls, value, bits=32):
        made = super().__new__(cls, value)
        made.bits = bits
        return made


def control(kind, size):
    extra = b""
    if size >= 65821:
        raise ValueError("too long for a test")
    if size >= 285:
        code, extra = 30, struct.pack("!H", size - 285)
    elif size >= 29:
        code, extra = 29, bytes([size - 29])
    else:
        code = size
    if kind <= 7:
        return bytes([kind << 5 | code]) + extra
    return bytes([code, kind - 7]) + extra


def encode(value):
    if isinstance(value, bool):
        return control(14, int(value))
    if isinstance(value, str):
        data = value.encode()
        return control(2, len(data)) + data
    if isinstance(value, bytes):
        return control(4, len(value)) + value
    if isinstance(value, Double):
        return control(3, 8) + struct.pack("!d", value)
    if isinstance(value, float):
        return control(15, 4) + struct.pack("!f", value)
    if isinstance(value, Uint):
        data = int(value).to_bytes(16, "big").lstrip(b"\0")
        return control({16: 5, 32: 6, 64: 9, 128: 10}[value.bits], len(data)) + data
    if isinstance(value, int):
        return control(8, 4) + struct.pack("!i", value)
    if isinstance(value, dict):
        return control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    return control(11, len(value)) + b"".join(encode(v) for v in value)


def write(path, kind, networks, ip_version=6, languages=("en",)):
    """networks: {"192.0.2.0/24": {...}, ...}; none inside another."""
    bits = 128 if ip_version == 6 else 32
    nodes = [[None, None]]
    data, offsets = b"", {}
    for network, record in networks.items():
        net = ipaddress.ip_network(network)
        length = net.prefixlen + (96 if bits == 128 and net.version == 4 else 0)
        number = int(net.network_address)
        offsets[network] = len(data)
        data += encode(record)
        at = 0
        for i in range(length):
            bit = number >> (bits - 1 - i) & 1
            if i == length - 1:
                nodes[at][bit] = ("data", network)
            else:
                if nodes[at][bit] is None:
                    nodes.append([None, None])
                    nodes[at][bit] = len(nodes) - 1
                at = nodes[at][bit]
    tree = b""
    for node in nodes:
        for way in node:
            if way is None:
                way = len(nodes)
            elif isinstance(way, tuple):
                way = len(nodes) + 16 + offsets[way[1]]
            tree += struct.pack("!I", way)
    meta = {"node_count": Uint(len(nodes)), "record_size": Uint(32, 16),
            "ip_version": Uint(ip_version, 16), "database_type": kind,
            "languages": list(languages), "binary_format_major_version": Uint(2, 16),
            "binary_format_minor_version": Uint(0, 16), "build_epoch": Uint(1700000000, 64),
            "description": {"en": "made for a test"}}
    path.write_bytes(tree + b"\0" * 16 + data + b"\xab\xcd\xefMaxMind.com" + encode(meta))
    return path


def city(**more):
    """A record with all that is told of it."""
    record = {
        "city": {"geoname_id": Uint(2653941), "names": {"en": "Cambridge", "fr": "Cambridge-fr"}},
        "continent": {"code": "EU", "names": {"de": "Europa", "en": "Europe"}},
        "country": {"iso_code": "GB", "is_in_european_union": True,
                    "names": {"en": "United Kingdom", "fr": "Royaume-Uni"}},
        "location": {"latitude": Double(52.2242), "longitude": Double(-0.1315),
                     "time_zone": "Europe/London"},
        "postal": {"code": "CB4"},
        "subdivisions": [{"iso_code": "ENG", "names": {"en": "England"}},
                         {"iso_code": "CAM", "names": {"en": "Cambridgeshire"}}],
    }
    record.update(more)
    return record


def asn(number=12552, org="IP-Only"):
    return {"autonomous_system_number": Uint(number), "autonomous_system_organization": org}
