"""What packaging/ holds is fit for its purpose: units, manifests, the image's root."""
import copy
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest
import yaml

from dns_world import Server, write_whole
from test_dns_guard import BIND_SERVICE, in_own_network, is_sanitized, root_only, status

CLUSTER_IP = re.compile(r"clusterIP: (\S+)")


# ---- Kubernetes ----

def objects(root, *names):
    """{(kind, name): object}; a name that stands twice in a file is one mistake found."""
    found = {}
    for name in names or ("dns", "deployment", "daemonset"):
        for o in yaml.safe_load_all((root / "packaging/kubernetes" / (name + ".yaml")).read_text()):
            key = o["kind"], o["metadata"]["name"]
            assert key not in found
            found[key] = o
    return found


PODS = [("deployment", "Deployment"), ("daemonset", "DaemonSet")]


def pod_of(root, file, kind):
    return objects(root, file)[kind, "signpost-dns"]["spec"]["template"]


# https://kubernetes.io/docs/concepts/security/pod-security-standards/, the restricted profile
SAFE_VOLUMES = {"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral",
                "persistentVolumeClaim", "projected", "secret"}
SAFE_SYSCTLS = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range",
                "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
                "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
                "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
                "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"}


def pod_violations(spec):
    own = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec.get("volumes", []):
        yield from ("volume of type " + k for k in volume if k not in SAFE_VOLUMES)
    for sysctl in own.get("sysctls", []):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield "sysctl " + sysctl["name"]


def container_violations(spec, container):
    pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
    capabilities = own.get("capabilities", {})
    seccomp = own.get("seccompProfile", pod.get("seccompProfile", {})).get("type")
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot"
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield "runAsUser"
    if seccomp not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile"
    if "ALL" not in capabilities.get("drop", []):
        yield "drop"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "add"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"


def violations(spec):
    containers = spec.get("initContainers", []) + spec["containers"]
    return list(pod_violations(spec)) + [v for c in containers for v in container_violations(spec, c)]


@pytest.mark.parametrize("file, kind", PODS)
def test_pods_keep_to_the_restricted_profile(root, file, kind):
    spec = pod_of(root, file, kind)["spec"]
    assert violations(spec) == []
    assert all(c["securityContext"]["readOnlyRootFilesystem"] for c in spec["containers"])
    assert all(c["resources"]["limits"]["memory"] for c in spec["containers"])


@pytest.mark.parametrize("what, change", [
    ("hostNetwork", lambda s: s.update(hostNetwork=True)),
    ("volume of type hostPath", lambda s: s["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
    ("allowPrivilegeEscalation",
     lambda s: s["containers"][0]["securityContext"].pop("allowPrivilegeEscalation")),
    ("runAsNonRoot", lambda s: s["securityContext"].pop("runAsNonRoot")),
    ("runAsUser", lambda s: s["securityContext"].update(runAsUser=0)),
    ("seccompProfile", lambda s: s["securityContext"].pop("seccompProfile")),
    ("drop", lambda s: s["containers"][0]["securityContext"]["capabilities"].pop("drop")),
    ("add", lambda s: s["containers"][0]["securityContext"]["capabilities"]["add"].append("NET_ADMIN")),
    ("hostPort", lambda s: s["containers"][0]["ports"][0].update(hostPort=53)),
])
def test_the_profile_is_looked_at(root, what, change):
    spec = copy.deepcopy(pod_of(root, *PODS[0])["spec"])
    change(spec)
    assert violations(spec) == [what]


@pytest.mark.parametrize("file, kind", PODS)
def test_the_parts_find_each_other(root, file, kind):
    shared, owner = objects(root, "dns"), objects(root, file)[kind, "signpost-dns"]
    pod = owner["spec"]["template"]
    container = pod["spec"]["containers"][0]
    labels = pod["metadata"]["labels"].items()
    service = shared["Service", "kube-dns"]["spec"]
    ports = {(p["name"], p["protocol"]) for p in container["ports"]}
    assert owner["spec"]["selector"]["matchLabels"].items() <= labels
    assert service["selector"].items() <= labels
    assert {(p["targetPort"], p["protocol"]) for p in service["ports"]} == ports
    assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in shared
    config = shared["ConfigMap", pod["spec"]["volumes"][0]["configMap"]["name"]]
    item = pod["spec"]["volumes"][0]["configMap"]["items"][0]
    assert item["key"] in config["data"]
    path = "%s/%s" % (container["volumeMounts"][0]["mountPath"], item["path"])
    assert container["args"] == ["dns", "-conf", path]
    version = re.search(r"version: '([\d.]+)'", (root / "meson.build").read_text())[1]
    assert container["image"] == "signpost:" + version
    for key in ("ServiceAccount", "ConfigMap"):
        assert shared[key, "signpost-dns"]["metadata"]["namespace"] == owner["metadata"]["namespace"]


def test_rights(root):
    """Those to read what it answers with, and no more."""
    shared = objects(root, "dns")
    rules = shared["ClusterRole", "system:signpost-dns"]["rules"]
    assert all(r["verbs"] == ["list", "watch"] for r in rules)
    assert sorted(n for r in rules for n in r["resources"]) == [
        "endpointslices", "namespaces", "pods", "services"]
    binding = shared["ClusterRoleBinding", "system:signpost-dns"]
    assert binding["roleRef"]["name"] == "system:signpost-dns"
    assert [s["name"] for s in binding["subjects"]] == ["signpost-dns"]


def corefile_of(root):
    return objects(root, "dns")["ConfigMap", "signpost-dns"]["data"]["Corefile"]


@pytest.mark.parametrize("file, kind", PODS)
def test_probes_ask_what_the_corefile_serves(root, file, kind):
    container = pod_of(root, file, kind)["spec"]["containers"][0]
    text = corefile_of(root)
    assert container["livenessProbe"]["httpGet"].items() >= {"path": "/health", "port": 8080}.items()
    assert container["readinessProbe"]["httpGet"].items() >= {"path": "/ready", "port": 8181}.items()
    for plugin in (r"health \{", "ready$", "prometheus :9153$"):
        assert re.search("^ *" + plugin, text, re.M), plugin


def check(signpost, path):
    ran = subprocess.run([signpost, "check", str(path)], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
    return ran.returncode, ran.stdout


def test_corefile_is_accepted(signpost, root, tmp_path):
    """As it is, or with nothing to say but that there is no source of objects in this place."""
    path = tmp_path / "Corefile"
    path.write_text(corefile_of(root))
    code, text = check(signpost, path)
    complaints = [line for line in text.splitlines() if not line.startswith(str(path))]
    assert code == 0 or all(c.startswith("plugin/kubernetes: ") for c in complaints), text
    path.write_text(with_manifests(corefile_of(root), tmp_path))
    code, text = check(signpost, path)
    assert code == 0, text


def with_manifests(corefile, folder):
    return corefile.replace("ip6.arpa {", "ip6.arpa {\n        manifests %s" % folder, 1)


# ---- the image ----

@pytest.fixture(name="image", scope="module")
def make_image(signpost, root):
    """The root of a container, as the Containerfile makes it."""
    if b"libasan" in subprocess.run(["ldd", signpost], stdout=subprocess.PIPE, check=True).stdout:
        pytest.skip("a sanitizer needs more than an image has")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="signpost-image-"))
    folder.chmod(0o755)
    subprocess.run([root / "packaging/image_root.sh", signpost, folder], check=True, timeout=60)
    yield folder
    shutil.rmtree(folder)


def test_image_holds_nothing_else(image):
    programs = [p for p in image.rglob("*") if p.is_file() and os.access(p, os.X_OK)
                and "lib" not in p.parts and "lib64" not in p.parts]
    assert programs == [image / "usr/bin/signpost"]
    notes = {p.parent.name for p in (image / "usr/share/doc").glob("*/copyright")}
    assert {"libc6", "libuv1", "libseccomp2"} <= notes


def serve_from_image(image, root):
    """The Corefile of the manifests on port 53, as the user of the manifests, with nothing but the
    capability of the file."""
    (image / "manifests").mkdir()
    (image / "manifests/dns.yaml").write_text((root / "packaging/kubernetes/dns.yaml").read_text())
    (image / "etc/resolv.conf").write_text("nameserver 127.0.0.2\n")
    script = image / "start"
    script.write_text('#!/bin/sh\nexec chroot --userspec=65532:65532 %s /usr/bin/signpost dns'
                      ' -conf /etc/signpost/Corefile\n' % image)
    script.chmod(0o755)
    (image / "etc/signpost/Corefile").write_text(with_manifests(corefile_of(root), "/manifests"))
    with tempfile.TemporaryDirectory() as aside, \
            Server(str(script), aside, "# @PORT@", ports=[53]) as s:
        ip = CLUSTER_IP.search((root / "packaging/kubernetes/dns.yaml").read_text())[1]
        assert s.addresses("kube-dns.kube-system.svc.cluster.local.") == [ip]
        for thread in status(s.process.pid):
            assert thread["Uid"] == ["65532"] * 4
            assert int(thread["CapEff"][0], 16) == BIND_SERVICE
            assert thread["Seccomp"] == ["0" if is_sanitized(s) else "2"]


@root_only
@pytest.mark.skipif(not shutil.which("setcap", path=os.environ["PATH"] + ":/usr/sbin:/sbin"),
                    reason="there is no setcap")
def test_image_serves(image, root):
    in_own_network(serve_from_image, image, root)


# ---- systemd ----

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                                   reason="there is no systemd-analyze")


@pytest.fixture(name="unit")
def make_unit(signpost, root, tmp_path):
    text = (root / "packaging/systemd/signpost-dns.service.in").read_text()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/signpost").symlink_to(signpost)
    path = tmp_path / "signpost-dns.service"
    path.write_text(text.replace("@bindir@", str(tmp_path / "bin")))
    return path


def analyze(*words):
    return subprocess.run(["systemd-analyze", *map(str, words)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)


@needs_systemd
def test_unit_is_valid(unit):
    ran = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    about = [line for line in ran.stdout.splitlines() if unit.name in line]
    assert about == [], ran.stdout
    unit.write_text(unit.read_text() + "\n[Service]\nProtectSytem=strict\n")
    ran = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    assert "ProtectSytem" in ran.stdout # it would be heard of


@needs_systemd
def test_unit_is_closed(unit):
    """1.6 of 10; what is left is the network itself."""
    ran = analyze("security", "--offline=yes", "--threshold=16", unit)
    if "Unknown option" in ran.stdout or "unrecognized option" in ran.stdout:
        pytest.skip("this systemd-analyze cannot look at files")
    assert ran.returncode == 0, ran.stdout


def expand(names, seen=None):
    """System calls of a list that may hold @groups."""
    seen = set() if seen is None else seen
    for name in names:
        if not name.startswith("@"):
            seen.add(name)
            continue
        text = analyze("syscall-filter", name).stdout
        expand([w for line in text.splitlines()[1:] if "#" not in line for w in line.split()], seen)
    return seen


@needs_systemd
def test_unit_allows_what_the_server_allows_itself(unit, root):
    """Its own list, and the calls that it makes to set that up."""
    source = (root / "src/kernel/syscalls.c").read_text()
    own = source[source.index("allowed[] = {"):source.index("static const int families")]
    wanted = set(re.findall(r'"([a-z0-9_]+)"', own))
    wanted |= {"socket", "socketpair", "ioctl", "mmap", "mprotect", "clone", "tgkill", "prlimit64",
               "prctl", "seccomp", "capget", "capset", "landlock_create_ruleset",
               "landlock_add_rule", "landlock_restrict_self"}
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)", unit.read_text(), re.M):
        if line.startswith("~"):
            allowed -= expand(line[1:].split())
        else:
            allowed |= expand(line.split())
    assert len(wanted) > 100 and wanted - allowed == set()
    assert not allowed & {"mount", "ptrace", "bpf", "init_module", "setuid", "reboot"}


def test_corefile_of_the_unit_is_accepted(signpost, root, tmp_path):
    text = (root / "packaging/systemd/Corefile").read_text()
    assert "manifests /etc/signpost/manifests" in text
    (tmp_path / "manifests").mkdir()
    write_whole(tmp_path / "Corefile", text.replace("/etc/signpost", str(tmp_path)))
    code, out = check(signpost, tmp_path / "Corefile")
    assert code == 0, out
