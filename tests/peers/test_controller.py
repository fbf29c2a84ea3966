"""The endpoint controllers beside kube-controller-manager: each on an API server of its own, the same random changes
to both. Whenever all is quiet, slices and Endpoints say the same, names aside. CONTROLLER_CHANGES sets how many."""
import os
import subprocess
import time

import kube_world
import pytest
from controller_life import Life, NS, same

CHANGES = int(os.environ.get("CONTROLLER_CHANGES", "200"))
SEED = int(os.environ.get("CONTROLLER_SEED", "1"))
BETWEEN_LOOKS = 50
LIMITS = ["--max-endpoints-per-slice=10", "--mirroring-max-endpoints-per-subset=7", "--kube-api-qps=500",
          "--kube-api-burst=500",
          "--controllers=endpointslice-controller,endpoints-controller,endpointslice-mirroring-controller"]


class Theirs(kube_world.Cluster):
    def start_controllers(self):
        self.controllers = self.run("kube-controller-manager", "--kubeconfig=" + self.admin, "--leader-elect=false",
                                    "--secure-port=0", *LIMITS)


class Ours(kube_world.Cluster):
    """Who gets the Lease anew deletes Endpoints without a Service, as at a start; on a slow machine it is kept longer."""

    program = None

    def start_controllers(self):
        with open(self.path("controller.log"), "ab") as log:
            self.controllers = subprocess.Popen(
                [self.program, "controller", "--kubeconfig", self.admin, "--metrics-bind-address=",
                 "--leader-elect-lease-duration=30s", "--leader-elect-renew-deadline=20s",
                 "--leader-elect-retry-period=1s", *LIMITS], stdout=log, stderr=log)


@pytest.fixture
def pair(signpost, tmp_path):
    reason = kube_world.missing()
    if reason:
        pytest.skip(reason)
    Ours.program = signpost
    for name in "theirs", "ours":
        (tmp_path / name).mkdir()
    with Theirs(tmp_path / "theirs") as theirs, Ours(tmp_path / "ours") as ours:
        for cluster in theirs, ours:
            cluster.add_namespace(NS)
        yield theirs, ours


def live(pair, seed):
    return Life(pair, seed, lambda: same(pair, 60, 0.5))


def test_the_same_slices_and_endpoints(pair):
    life = live(pair, SEED)
    for i in range(CHANGES):
        life.change()
        if (i + 1) % BETWEEN_LOOKS == 0:
            same(pair, 90)
    assert any(same(pair, 90).values())


@pytest.mark.long
def test_an_api_server_that_is_killed(pair):
    ours, life = pair[1], live(pair, 2)
    for _ in range(60):
        life.change()
    same(pair, 60)
    ours.kill_api()
    time.sleep(3)
    ours.start_api()
    for _ in range(30):
        life.change()
    assert any(same(pair, 90).values())
