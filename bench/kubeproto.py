"""Kubernetes objects from their JSON form to the protobuf that API servers send. Only the fields
that cluster.py writes. Field numbers: k8s.io/api and k8s.io/apimachinery, generated.proto."""

import calendar
import time

MAGIC = b"k8s\x00"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"


def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


# A message is {JSON name: (field number, type)}. Types: str, int, bool, "map" (of strings), or a
# message; a list in the JSON is a repeated field, whatever the type.
TIME = {"seconds": (1, int)}
OWNER = {"kind": (1, str), "name": (3, str), "uid": (4, str), "apiVersion": (5, str),
         "controller": (6, bool), "blockOwnerDeletion": (7, bool)}
META = {"name": (1, str), "generateName": (2, str), "namespace": (3, str), "uid": (5, str),
        "resourceVersion": (6, str), "generation": (7, int), "creationTimestamp": (8, TIME),
        "deletionTimestamp": (9, TIME), "labels": (11, "map"), "annotations": (12, "map"),
        "ownerReferences": (13, OWNER)}
INT_OR_STRING = {"type": (1, int), "intVal": (2, int)}
SERVICE_PORT = {"name": (1, str), "protocol": (2, str), "port": (3, int),
                "targetPort": (4, INT_OR_STRING)}
SERVICE_SPEC = {"ports": (1, SERVICE_PORT), "selector": (2, "map"), "clusterIP": (3, str),
                "type": (4, str), "sessionAffinity": (7, str), "ipFamilyPolicy": (17, str),
                "clusterIPs": (18, str), "ipFamilies": (19, str),
                "internalTrafficPolicy": (22, str), "trafficDistribution": (23, str)}
CONDITIONS = {"ready": (1, bool), "serving": (2, bool), "terminating": (3, bool)}
REFERENCE = {"kind": (1, str), "namespace": (2, str), "name": (3, str), "uid": (4, str)}
ENDPOINT = {"addresses": (1, str), "conditions": (2, CONDITIONS), "hostname": (3, str),
            "targetRef": (4, REFERENCE), "nodeName": (6, str), "zone": (7, str),
            "hints": (8, {"forZones": (1, {"name": (1, str)}), "forNodes": (2, {"name": (1, str)})})}
ENDPOINT_PORT = {"name": (1, str), "protocol": (2, str), "port": (3, int)}
ADDRESS = {"ip": (1, str), "targetRef": (2, REFERENCE), "hostname": (3, str), "nodeName": (4, str)}
SUBSET = {"addresses": (1, ADDRESS), "notReadyAddresses": (2, ADDRESS),
          "ports": (3, {"name": (1, str), "port": (2, int), "protocol": (3, str)})}
PORT = {"name": (1, str), "containerPort": (3, int), "protocol": (4, str)}
POD_SPEC = {"containers": (2, {"name": (1, str), "ports": (6, PORT)}), "nodeName": (10, str),
            "hostname": (16, str), "subdomain": (17, str)}
CONDITION = {"type": (1, str), "status": (2, str), "lastTransitionTime": (4, TIME)}
POD_STATUS = {"phase": (1, str), "conditions": (2, CONDITION), "podIP": (6, str),
              "podIPs": (12, {"ip": (1, str)})}
MESSAGES = {
    "Namespace": {"metadata": (1, META), "spec": (2, {"finalizers": (1, str)}),
                  "status": (3, {"phase": (1, str)})},
    "Service": {"metadata": (1, META), "spec": (2, SERVICE_SPEC),
                "status": (3, {"loadBalancer": (1, {})})},
    "EndpointSlice": {"metadata": (1, META), "endpoints": (2, ENDPOINT),
                      "ports": (3, ENDPOINT_PORT), "addressType": (4, str)},
    "Endpoints": {"metadata": (1, META), "subsets": (2, SUBSET)},
    "Pod": {"metadata": (1, META), "spec": (2, POD_SPEC), "status": (3, POD_STATUS)},
    "Node": {"metadata": (1, META),
             "status": (3, {"addresses": (5, {"type": (1, str), "address": (2, str)})})},
    "ServiceCIDR": {"metadata": (1, META), "spec": (2, {"cidrs": (1, str)})},
}


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def json_form(value, kind):
    """Values whose JSON is a scalar and whose protobuf is a message."""
    if kind is TIME:
        return {"seconds": seconds(value)}
    if kind is INT_OR_STRING:
        return {"type": 0, "intVal": value}
    return value


def encode_value(number, value, kind):
    if kind is int or kind is bool:
        return varint(number << 3) + varint(int(value))
    if kind is str:
        return field(number, value.encode())
    if kind == "map":
        return b"".join(field(number, field(1, k.encode()) + field(2, v.encode()))
                        for k, v in value.items())
    return field(number, encode(json_form(value, kind), kind))


def encode(value, message):
    """A field that the message does not know is an error: nothing may be left out in silence."""
    out = []
    for key, member in value.items():
        number, kind = message[key]
        for one in member if isinstance(member, list) else [member]:
            out.append(encode_value(number, one, kind))
    return b"".join(out)


def encode_object(obj):
    bare = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    return encode(bare, MESSAGES[obj["kind"]])


def unknown(version, kind, raw):
    """runtime.Unknown, the envelope of every object."""
    type_meta = field(1, version.encode()) + field(2, kind.encode())
    return MAGIC + field(1, type_meta) + field(2, raw) + field(3, b"") + field(4, b"")


def encode_list(version, kind, revision, objects, more=""):
    """more: the token of the next page, when there is one."""
    return join_list(version, kind, revision, map(encode_object, objects), more)


def join_list(version, kind, revision, encoded, more=""):
    """Of objects that are encoded already."""
    items = b"".join(field(2, one) for one in encoded)
    meta = field(2, revision.encode()) + field(3, more.encode())
    return unknown(version, kind + "List", field(1, meta) + items)


def encode_event(kind, obj):
    return wrap_event(kind, obj["apiVersion"], obj["kind"], encode_object(obj))


def wrap_event(kind, version, object_kind, encoded):
    """metav1.WatchEvent in its frame: four octets of length, then the message without envelope."""
    raw = unknown(version, object_kind, encoded)
    event = field(1, kind.encode()) + field(2, field(1, raw))
    return len(event).to_bytes(4, "big") + event
