"""Certificates for tests: an authority and what it signs, with the openssl command."""
import pathlib
import subprocess

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """Writes ca.crt, ca.key, and NAME.crt, NAME.key for each NAME that is issued, into a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.run("req", "-x509", *EC, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2")

    def run(self, *words):
        subprocess.run(("openssl", *words), cwd=self.folder, check=True, capture_output=True, timeout=60)

    def path(self, name):
        return str(self.folder / name)

    def issue(self, name, subject, alternative, days=2):
        """alternative: the subjectAltName, for instance "IP:127.0.0.1". days: -1: it has expired."""
        (self.folder / "ext").write_text("subjectAltName=" + alternative)
        self.run("req", *EC, "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject)
        self.run("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                 "-out", name + ".crt", "-extfile", "ext", "-days", str(days))
