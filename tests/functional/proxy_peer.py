"""A pod's end of a connection, run inside a network namespace.

    proxy_peer.py serve NAME PORT         answers TCP and UDP with its name and the client's address
    proxy_peer.py ask PROTO HOST PORT N   N new connections; prints what came back as JSON
    proxy_peer.py hold HOST PORT          keeps one TCP connection, echoes a line for each line read
"""
import json
import selectors
import socket
import sys

TIMEOUT = 1.5


def listeners(port):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, port))
            if kind == socket.SOCK_STREAM:
                s.listen(128)
            yield s, kind


def serve(name, port):
    sel = selectors.DefaultSelector()
    for s, kind in listeners(port):
        sel.register(s, selectors.EVENT_READ, "tcp" if kind == socket.SOCK_STREAM else "udp")
    print("ready", flush=True)
    while True:
        for key, _ in sel.select():
            s = key.fileobj
            if key.data == "tcp":
                c, peer = s.accept()
                c.sendall(("%s %s\n" % (name, peer[0])).encode())
                sel.register(c, selectors.EVENT_READ, "connection")
            elif key.data == "udp":
                _, peer = s.recvfrom(2048)
                s.sendto(("%s %s\n" % (name, peer[0])).encode(), peer)
            else:
                try:
                    data = s.recv(2048)
                except OSError:
                    data = b""
                if data:
                    s.sendall(data)
                else:
                    sel.unregister(s)
                    s.close()


def one(proto, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT)
        try:
            s.connect((host, port))
            own = s.getsockname()[0]
            if proto == "udp":
                s.send(b"hello\n")
            name, seen = s.recv(256).decode().split()
        except socket.timeout:
            return {"outcome": "timeout"}
        except PermissionError:  # a local process whose datagram an output rule rejects
            return {"outcome": "refused"}
        except OSError as e:
            return {"outcome": "refused" if e.errno == 111 else e.strerror}
        return {"outcome": "reply", "name": name, "seen": seen, "own": own}


def hold(host, port):
    s = socket.create_connection((host, port), TIMEOUT)
    print(s.recv(256).decode().split()[0], flush=True)
    for line in sys.stdin:
        s.sendall(line.encode())
        print(s.recv(256).decode().strip(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "hold":
        hold(sys.argv[2], int(sys.argv[3]))
    else:
        print(json.dumps([one(sys.argv[2], sys.argv[3], int(sys.argv[4]))
                          for _ in range(int(sys.argv[5]))]))
