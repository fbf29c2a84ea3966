"""Endpoints on an API server: those that the controller makes, and those of people, which it mirrors."""
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from dns_world import http_get  # noqa: E402
from test_controller import api, one, pod, service, start, until  # noqa: E402,F401

MIRRORED = "endpointslicemirroring-controller.k8s.io"


def objects(api, kind):
    with api.state.changed:
        return {name: o for (k, _, name), o in sorted(api.state.objects.items()) if k == kind}


def addresses(api, name="web", key="addresses"):
    found = objects(api, "Endpoints").get(name)
    return found and [[a["ip"] for a in s.get(key, [])] for s in found["subsets"]]


def mirrored(api, of="db"):
    return [s for s in objects(api, "EndpointSlice").values()
            if s["metadata"]["labels"].get("endpointslice.kubernetes.io/managed-by") == MIRRORED
            and s["metadata"]["labels"]["kubernetes.io/service-name"] == of]


def by_hand(*ips, name="db", labels=None, annotations=None, uid="ep-1"):
    return {"apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": name, "namespace": "shop", "uid": uid, "labels": labels or {},
                         "annotations": annotations or {}},
            "subsets": [{"addresses": [{"ip": ip} for ip in ips], "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}]}


def test_endpoints_follow_pods(api, start):
    api.state.put(service("web", labels={"team": "a"}))
    api.state.put(pod("p1", "10.1.0.10"))
    api.state.put(pod("p2", "10.1.0.9", on="n2", ready=False))
    start(api)
    until(lambda: addresses(api) == [["10.1.0.10"]])
    made = objects(api, "Endpoints")["web"]
    assert made["metadata"]["labels"] == {"team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert made["subsets"] == [{
        "addresses": [{"ip": "10.1.0.10", "nodeName": "n1", "targetRef": {
            "kind": "Pod", "namespace": "shop", "name": "p1", "uid": "pod-p1"}}],
        "notReadyAddresses": [{"ip": "10.1.0.9", "nodeName": "n2", "targetRef": {
            "kind": "Pod", "namespace": "shop", "name": "p2", "uid": "pod-p2"}}],
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}]}]
    changed = pod("p2", "10.1.0.9", on="n2")
    changed["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-02T03:06:00Z"
    api.state.put(changed)
    until(lambda: addresses(api) == [["10.1.0.10", "10.1.0.9"]])
    assert objects(api, "Endpoints")["web"]["metadata"]["annotations"] == {
        "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:06:00Z"}
    api.state.delete("Service", "shop", "web")
    until(lambda: "web" not in objects(api, "Endpoints"))


def test_endpoints_that_somebody_deletes(api, start):
    api.state.put(service("web"))
    api.state.put(pod("p1", "10.1.0.10"))
    start(api)
    until(lambda: addresses(api) == [["10.1.0.10"]])
    api.state.delete("Endpoints", "shop", "web")
    until(lambda: addresses(api) == [["10.1.0.10"]])


def test_leftovers_go_at_the_start(api, start):
    api.state.put(by_hand("192.0.2.1", name="left"))
    api.state.put(by_hand("192.0.2.1", name="lock", annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}))
    start(api)
    until(lambda: "left" not in objects(api, "Endpoints"))
    assert "lock" in objects(api, "Endpoints")


def test_more_than_an_object_takes(one, start):
    api = one
    api.state.put(service("web"))
    for i in range(1003):
        api.state.put(pod("p%d" % i, "10.1.%d.%d" % (i // 250, i % 250 + 1), ready=i >= 2))
    start(api)
    until(lambda: addresses(api) and len(addresses(api)[0]) == 1000)
    assert addresses(api, key="notReadyAddresses") == [[]]
    notes = objects(api, "Endpoints")["web"]["metadata"]["annotations"]
    assert notes["endpoints.kubernetes.io/over-capacity"] == "truncated"
    for i in range(600):
        api.state.delete("Pod", "shop", "p%d" % i)
    until(lambda: len(addresses(api)[0]) == 403)
    assert "over-capacity" not in str(objects(api, "Endpoints")["web"]["metadata"].get("annotations"))


def test_endpoints_of_people_are_mirrored(api, start):
    api.state.put(service("db", selector={}))
    api.state.put(by_hand("192.0.2.1", "2001:db8::1", labels={"team": "a"}, annotations={
        "note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}))
    start(api)
    until(lambda: len(mirrored(api)) == 2)
    one = next(s for s in mirrored(api) if s["addressType"] == "IPv4")
    assert one["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
    assert one["ports"] == [{"name": "sql", "protocol": "TCP", "port": 5432}]
    assert one["metadata"]["labels"] == {"team": "a", "kubernetes.io/service-name": "db",
                                         "endpointslice.kubernetes.io/managed-by": MIRRORED}
    assert one["metadata"]["annotations"] == {"note": "x"}
    assert one["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Endpoints", "name": "db", "uid": "ep-1",
                                                   "controller": True, "blockOwnerDeletion": True}]
    api.state.put(by_hand("192.0.2.1", "192.0.2.2"))
    until(lambda: [len(s["endpoints"]) for s in mirrored(api)] == [2])
    # One that somebody has changed is put right, one that is gone made again.
    name = mirrored(api)[0]["metadata"]["name"]
    api.state.delete("EndpointSlice", "shop", name)
    until(lambda: [len(s["endpoints"]) for s in mirrored(api)] == [2])
    api.state.put(by_hand("192.0.2.1", labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
    until(lambda: not mirrored(api))
    api.state.put(by_hand("192.0.2.1"))
    until(lambda: len(mirrored(api)) == 1)
    api.state.put(service("db"))
    until(lambda: not mirrored(api))


def test_events_tell_what_is_left_out(api, start):
    api.state.put(service("db", selector={}))
    api.state.put(by_hand(*["192.0.2.%d" % i for i in range(1, 9)]))
    controller = start(api, "--leader-elect=false", "--mirroring-max-endpoints-per-subset=5")
    until(lambda: [len(s["endpoints"]) for s in mirrored(api)] == [5])
    until(lambda: objects(api, "Event"))
    told = list(objects(api, "Event").values())[0]
    assert told["reason"] == "TooManyAddressesToMirror" and told["type"] == "Warning" and told["count"] == 1
    assert told["source"] == {"component": "endpoint-slice-mirroring-controller"}
    assert told["involvedObject"]["kind"] == "Endpoints" and told["involvedObject"]["uid"] == "ep-1"
    assert told["message"].endswith("3 addresses were skipped")
    for i in range(40):  # said again it is only counted, and not for ever
        api.state.put(by_hand(*["192.0.2.%d" % i for i in range(1, 9)], labels={"x": str(i)}))
        until(lambda: mirrored(api)[0]["metadata"]["labels"].get("x") == str(i))
    until(lambda: list(objects(api, "Event").values())[0]["count"] == 25)
    assert len(objects(api, "Event")) == 1
    page = http_get(controller.port, "/metrics")[1]
    assert int(re.search(r"signpost_events_dropped_total (\d+)", page).group(1)) >= 16


def test_events_about_refused_writes(api, start):
    api.state.put(service("web"))
    api.state.put(pod("p1", "10.1.0.10"))
    api.faults["POST endpoints"] = [500]
    api.faults["POST endpointslices"] = [500]
    start(api)
    until(lambda: addresses(api) == [["10.1.0.10"]])
    until(lambda: {e["reason"] for e in objects(api, "Event").values()} == {"FailedToCreateEndpoint",
                                                                          "FailedToUpdateEndpointSlices"})


@pytest.mark.parametrize("which", ["endpoints-controller", "endpointslice-controller"])
def test_only_one_of_them(api, start, which):
    api.state.put(service("web"))
    api.state.put(pod("p1", "10.1.0.10"))
    start(api, "--leader-elect=false", "--controllers=" + which)
    until(lambda: addresses(api) if which == "endpoints-controller" else objects(api, "EndpointSlice"))
    assert not (objects(api, "EndpointSlice") if which == "endpoints-controller" else objects(api, "Endpoints"))


def test_metrics_have_the_names_of_the_originals(api, start):
    api.state.put(service("web", trafficDistribution="PreferClose"))
    api.state.put(service("db", selector={}))
    api.state.put(by_hand("192.0.2.1", "2001:db8::1"))
    for i in range(3):
        api.state.put(pod("p%d" % i, "10.1.0.%d" % (i + 1)))
    controller = start(api, "--leader-elect=false", "--max-endpoints-per-slice=2")
    until(lambda: addresses(api) == [["10.1.0.1", "10.1.0.2", "10.1.0.3"]] and len(mirrored(api)) == 2)

    def shows(*lines):
        page = http_get(controller.port, "/metrics")[1].splitlines()
        return all(line in page for line in lines)

    until(lambda: shows(
        "endpoint_slice_controller_endpoints_desired 3", "endpoint_slice_controller_num_endpoint_slices 2",
        "endpoint_slice_controller_desired_endpoint_slices 2",
        'endpoint_slice_controller_services_count_by_traffic_distribution{traffic_distribution="PreferClose"} 1',
        'endpoint_slice_controller_changes{operation="create"} 2',
        "endpoint_slice_mirroring_controller_endpoints_desired 2",
        "endpoint_slice_mirroring_controller_num_endpoint_slices 2",
        'endpoint_slice_mirroring_controller_changes{operation="create"} 2',
        "endpoint_slice_mirroring_controller_endpoints_added_per_sync_sum 2",
        'workqueue_depth{name="endpoint"} 0', 'workqueue_depth{name="endpoint_slice"} 0',
        'workqueue_depth{name="endpoint_slice_mirroring"} 0'))
    api.state.delete("Service", "shop", "web")
    api.state.collect()
    until(lambda: shows(
        "endpoint_slice_controller_endpoints_desired 0", "endpoint_slice_controller_num_endpoint_slices 0",
        'endpoint_slice_controller_services_count_by_traffic_distribution{traffic_distribution="PreferClose"} 0'))
