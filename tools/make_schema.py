#!/usr/bin/env python3
"""Writes src/registry/schema.txt: the fields of the API's types, as facts, from the sources of a Kubernetes version.

    tools/make_schema.py $(go env GOMODCACHE)/k8s.io v0.34.4 > src/registry/schema.txt

Only names, numbers, types and markers are taken; what the file's lines mean stands in its own head.
"""
import pathlib
import re
import sys

PACKAGES = {  # our name: folder
    "core": "api@{v}/core/v1", "discovery": "api@{v}/discovery/v1", "coordination": "api@{v}/coordination/v1",
    "networking": "api@{v}/networking/v1", "authorization": "api@{v}/authorization/v1",
    "authentication": "api@{v}/authentication/v1", "apidiscovery": "api@{v}/apidiscovery/v2", "meta": "apimachinery@{v}/pkg/apis/meta/v1",
}
ALIAS = {"v1": None, "metav1": "meta", "meta": "meta"}
ROOTS = ["core.Namespace", "core.Node", "core.Pod", "core.Service", "core.Endpoints", "core.ConfigMap", "core.Event",
         "core.ServiceAccount", "coordination.Lease", "discovery.EndpointSlice", "networking.ServiceCIDR",
         "networking.IPAddress", "meta.Status", "meta.DeleteOptions", "meta.ListMeta",
         "meta.PartialObjectMetadata", "authorization.SelfSubjectAccessReview", "authorization.SelfSubjectRulesReview",
         "authentication.SelfSubjectReview", "meta.APIVersions", "meta.APIGroupList", "meta.APIResourceList",
         "apidiscovery.APIGroupDiscovery"]
BASIC = {"string": "string", "int32": "int32", "int64": "int64", "int": "int32", "bool": "bool", "[]byte": "bytes", "byte": "int32",
         "resource.Quantity": "quantity", "intstr.IntOrString": "intorstring", "metav1.Time": "time", "Time": "time",
         "metav1.MicroTime": "microtime", "MicroTime": "microtime", "metav1.FieldsV1": "fields", "FieldsV1": "fields", "runtime.RawExtension": "raw",
         "types.UID": "string", "types.NodeName": "string", "float64": "double"}
DEFAULTS = {  # those that stand in the original's code; an empty struct is "{}"
    "core.PodSpec": {"restartPolicy": "Always", "terminationGracePeriodSeconds": "30", "dnsPolicy": "ClusterFirst",
                     "securityContext": "{}", "schedulerName": "default-scheduler", "enableServiceLinks": "true"},
    "core.Container": {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    "core.EphemeralContainerCommon": {"terminationMessagePath": "/dev/termination-log",
                                      "terminationMessagePolicy": "File"},
    "core.Probe": {"timeoutSeconds": "1", "periodSeconds": "10", "successThreshold": "1", "failureThreshold": "3"},
    "core.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "core.SecretVolumeSource": {"defaultMode": "420"},
    "core.ConfigMapVolumeSource": {"defaultMode": "420"},
    "core.DownwardAPIVolumeSource": {"defaultMode": "420"},
    "core.ProjectedVolumeSource": {"defaultMode": "420"},
    "core.ServiceAccountTokenProjection": {"expirationSeconds": "3600"},
    "core.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.AzureDiskVolumeSource": {"cachingMode": "ReadWrite", "kind": "Shared"},
    "discovery.EndpointPort": {"protocol": "TCP"}, "core.EndpointPort": {"protocol": "TCP"},
}
HEAD = """\
# The types of the API: fields in the order in which they are written.
# TYPE                       a type's name, in the first column; "atomic": applied as a whole
#  NUMBER NAME KIND MARK...  a field: its number in protocol buffers, its JSON name, its kind
# Kinds: string int32 int64 bool bytes double quantity intorstring time microtime fields raw, or a TYPE; []KIND is a
# list, {}KIND a map with texts as keys, *KIND may be absent (its zero value is kept).
# Marks: ? left out when zero; ! must be there; inline: its fields stand in the type that has it; set, atomic,
# map=KEY,KEY: how a list, map or struct is applied; merge=KEY (merge: of texts): how a patch merges a list;
# retain: a patch names the keys that stay; =TEXT: the default.
"""


class Reader:
    def __init__(self, base, version):
        self.structs, self.names, self.ptr = {}, {}, set()
        for package, folder in PACKAGES.items():
            for path in sorted(pathlib.Path(base, folder.format(v=version)).glob("*types.go")):
                self.read(package, path.read_text())

    def read(self, package, text):
        for found in re.finditer(r"((?:^//[^\n]*\n)*)^type (\w+) struct \{\n(.*?)^\}", text, re.M | re.S):
            self.structs[package + "." + found[2]] = (found[1], found[3])
        for found in re.finditer(r"^type (\w+) ([^\s{]+)$", text, re.M):
            self.names[package + "." + found[1]] = found[2]

    def kind(self, package, go):
        """The kind in our words."""
        if go in BASIC:
            return BASIC[go]
        if go.startswith("*"):
            return "*" + self.kind(package, go[1:])
        if go.startswith("[]"):
            return "[]" + self.kind(package, go[2:])
        found = re.match(r"map\[[\w.]+\](.*)", go)
        if found:
            return "{}" + self.kind(package, found[1])
        if "." in go:
            prefix, name = go.split(".")
            package = {"v1": "core", "metav1": "meta"}.get(prefix, prefix)
            go = name
            if package == "v1":
                package = "core"
        full = package + "." + go
        if full in self.structs:
            return full
        if full in self.names:
            return self.kind(package, self.names[full])
        raise KeyError(full)

    def fields(self, full):
        comments, out = [], []
        for line in self.structs[full][1].splitlines():
            line = line.strip()
            if line.startswith("//"):
                comments.append(line)
                continue
            found = re.match(r"(?:(\w+)\s+)?(\S+)\s+`(.*)`", line)
            if found:
                one = self.field(full, found[2], found[3], " ".join(comments))
                if one:
                    out.append(one)
            comments = []
        return out

    def field(self, full, go, tags, joined):
        package = full.split(".")[0]
        tag = dict(re.findall(r'(\w+):"([^"]*)"', tags))
        name, *options = tag["json"].split(",")
        if "TypeMeta" in go:
            return None
        if "protobuf" not in tag:
            return None
        words = tag["protobuf"].split(",")
        kind, marks = self.kind(package, go), []
        number = words[1]
        if "inline" in options:
            name = go.split(".")[-1].lstrip("*")
            marks.append("inline")
        if "omitzero" in options:
            marks.append("??")
        elif "omitempty" in options:
            marks.append("?")
        def mark(key):
            return re.findall(r"\+%s=(\S+)" % key, joined)
        if mark("listType"):
            if mark("listType")[0] == "map":
                marks.append("map=" + ",".join(mark("listMapKey")))
            else:
                marks.append(mark("listType")[0])
        if "atomic" in mark("structType") + mark("mapType"):
            marks.append("atomic")
        strategy = tag.get("patchStrategy", "")
        if "retainKeys" in strategy:
            marks.append("retain")
        if "merge" in strategy:
            marks.append("merge=" + tag["patchMergeKey"] if "patchMergeKey" in tag else "merge")
        default = mark("default")
        known = DEFAULTS.get(full, {})
        if name in known:
            default = [known[name]]
        if default and default[0].strip('"'):
            marks.append("=" + default[0].strip('"'))
        if "+required" in joined and "+optional" not in joined:
            marks.append("!")
        return number, name, kind, marks

    def atomic(self, full):
        return "+structType=atomic" in self.structs[full][0]


def main():
    reader = Reader(sys.argv[1], sys.argv[2])
    queue, seen, out = list(ROOTS), set(), [HEAD]
    while queue:
        full = queue.pop(0)
        if full in seen:
            continue
        seen.add(full)
        out.append(full + (" atomic" if reader.atomic(full) else ""))
        for number, name, kind, marks in reader.fields(full):
            out.append(" " + " ".join([number, name, kind, *marks]))
            bare = kind.lstrip("*[]{}")
            if "." in bare:
                queue.append(bare)
    print("\n".join(out))


if __name__ == "__main__":
    main()
