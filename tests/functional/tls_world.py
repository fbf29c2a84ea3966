"""Certificates made for a test, and a scripted upstream that speaks TLS."""
import datetime
import ipaddress
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
import pytest

from forward_world import HOST, Upstream

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates; its own is FOLDER/NAME.pem."""

    def __init__(self, folder, name="ca"):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self.pem = self.write(name + ".pem", self.certificate(self.name, self.key, ca))

    def certificate(self, subject, key, extension, begin=-DAY, end=DAY):
        now = datetime.datetime.utcnow()
        builder = x509.CertificateBuilder(
            self.name, subject, key.public_key(), x509.random_serial_number(), now + begin,
            now + end).add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def issue(self, name, *alternatives, expired=False):
        """NAME.pem and NAME.key for these names and addresses; their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(a)) if a[0].isdigit() or ":" in a
                 else x509.DNSName(a) for a in alternatives or [name]]
        dates = {"begin": -3 * DAY, "end": -DAY} if expired else {}
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        pem = self.certificate(subject, key, x509.SubjectAlternativeName(names), **dates)
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption())
        return self.write(name + ".pem", pem), self.write(name + ".key", text)


class TlsUpstream(Upstream):
    """An Upstream whose TCP connections begin with a handshake. clients: the authority that they
    must have a certificate of."""

    def __init__(self, certificate, *args, clients=None, **kwargs):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.context.set_alpn_protocols(["dot"])
        if clients:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(clients)
        self.names, self.protocols, self.resumed, self.failures = [], [], [], []
        self.closed = False
        self.context.sni_callback = lambda conn, name, context: self.names.append(name)
        super().__init__(*args, **kwargs)

    def serve_tcp(self, conn):
        sealed = self.context.wrap_socket(conn, server_side=True, do_handshake_on_connect=False)
        try:
            sealed.do_handshake()
        except OSError as error:
            self.failures.append(str(error))
            self.say_goodbye(socket.socket(fileno=sealed.detach()))
            return
        self.open.add(sealed)
        self.protocols.append(sealed.selected_alpn_protocol())
        self.resumed.append(sealed.session_reused)
        super().serve_tcp(sealed)

    @staticmethod
    def say_goodbye(conn):
        """Lets the peer read the alert: closing with bytes unread would reset the connection."""
        with conn:
            conn.settimeout(5)
            try:
                conn.shutdown(socket.SHUT_WR)
                while conn.recv(4096):
                    pass
            except OSError:
                pass

    def send_tcp(self, conn, data):
        with self.lock: # several timers may be due at once
            super().send_tcp(conn, data)

    def close(self):
        """May be called twice."""
        if self.closed:
            return
        self.closed = True
        for sock in self.open:
            try:
                sock.shutdown(socket.SHUT_RDWR) # close() alone does not wake who reads
            except OSError:
                pass
        super().close()


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """With certificates of a server, `good` and `expired`, and one of a client."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.good = authority.issue("good", "dns.test", HOST)
    authority.expired = authority.issue("expired", "dns.test", HOST, expired=True)
    authority.client = authority.issue("client")
    return authority
