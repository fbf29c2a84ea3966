"""`metadata`: what kubernetes tells of the pod that asks."""
import pytest

from dns_world import Server, write_whole

COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    metadata
    template ANY TXT who.test {
        answer "{{ .Name }} 0 TXT \\"{{ .Meta \\"kubernetes/client-namespace\\" }}/{{ .Meta \\"kubernetes/client-pod-name\\" }}:{{ .Meta \\"kubernetes/client-label/app.example/tier\\" }}{{ .Meta \\"kubernetes/client-other\\" }}\\""
    }
    kubernetes cluster.local {
        manifests @DIR@/manifests
        pods %s
    }
}
"""

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"

POD = """---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, labels: {app.example/tier: "%s"}}
spec: {nodeName: n, containers: [{name: c, image: x}]}
status: {phase: %s, podIP: %s}
"""


@pytest.fixture
def start(signpost, tmp_path):
    servers = []
    (tmp_path / "manifests").mkdir()

    def begin(mode, *pods):
        write_whole(tmp_path / "manifests" / "objects.yaml", NAMESPACE + "".join(pods))
        servers.append(Server(signpost, tmp_path, COREFILE % mode))
        return servers[-1].__enter__()

    yield begin
    for server in servers:
        server.__exit__()


def test_the_pod_that_asks(start, tmp_path):
    server = start("verified", POD % ("foo", "front", "Running", "127.0.0.1"))
    assert server.addresses("who.test.", "TXT") == ['"shop/foo:front"']

    def becomes(*pods):
        write_whole(tmp_path / "manifests" / "objects.yaml", NAMESPACE + "".join(pods))

    becomes(POD % ("foo", "back", "Running", "127.0.0.1"))
    server.until("who.test.", ['"shop/foo:back"'], rdtype="TXT")
    # The address goes over to another pod; then the first one's end changes nothing.
    becomes(POD % ("foo", "back", "Running", "127.0.0.1"), POD % ("next", "", "Running", "127.0.0.1"))
    server.until("who.test.", ['"shop/next:"'], rdtype="TXT")
    becomes(POD % ("foo", "back", "Failed", "127.0.0.1"), POD % ("next", "new", "Running", "127.0.0.1"))
    server.until("who.test.", ['"shop/next:new"'], rdtype="TXT")
    becomes(POD % ("next", "new", "Running", "127.0.0.9"))
    server.until("who.test.", ['"/:"'], rdtype="TXT")


@pytest.mark.parametrize("mode", ["disabled", "insecure"])
def test_only_verified_pods_are_known(start, mode):
    server = start(mode, POD % ("foo", "front", "Running", "127.0.0.1"))
    assert server.addresses("who.test.", "TXT") == ['"/:"']
