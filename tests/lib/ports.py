"""Ports of 127.0.0.1 for servers under test.

They lie below those that the kernel gives to clients: a port that it hands out by itself may be
somebody's connection before the server has bound it. Suites that run at the same time are given
ranges of their own: SIGNPOST_TEST_PORTS=LOW-HIGH.
"""
import contextlib
import os
import random
import socket



def own_range():
    """The suite's, or of one that runs in several processes this one's part of it."""
    low, high = (int(word) for word in os.environ.get("SIGNPOST_TEST_PORTS", "10000-29999").split("-"))
    part = (high - low + 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    low += part * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return low, low + part - 1


LOW, HIGH = own_range()


def free_port():
    """One that neither UDP nor TCP uses."""
    for _ in range(1000):
        port = random.randint(LOW, HIGH)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, \
                contextlib.suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
