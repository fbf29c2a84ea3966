#!/usr/bin/env python3
"""bridge.py PORT PATH: carries connections to a loopback port to a Unix socket, which another network namespace has."""
import contextlib
import socket
import sys
import threading


def carry(source, to):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    for sock in (source, to):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def serve(client, path):
    with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
        server.connect(path)
        asks = threading.Thread(target=carry, args=(client, server), daemon=True)
        asks.start()
        carry(server, client)
        asks.join()


def main():
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        print("ready", flush=True)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0], sys.argv[2]), daemon=True).start()


main()
