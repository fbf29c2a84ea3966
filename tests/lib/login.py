"""A program that prints credentials, as kubeconfig files name them (exec)."""
import json
import pathlib
import stat

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
TEXT = """#!/bin/sh
# Prints what lies in the file "answer" and notes that it was called, by whom, and with what.
cd "$(dirname "$0")"
echo "$@ $MINE" >>calls
printf %s "$KUBERNETES_EXEC_INFO" >info
[ ! -e slow ] || sleep "$(cat slow)"
cat answer said 2>/dev/null
[ ! -e said ] || cat said >&2
[ ! -e status ] || exit "$(cat status)"
exit 0
"""


class Login:
    """Lies in the folder of the kubeconfig file whose user has `exec`."""

    def __init__(self, folder, version=V1, **more):
        self.folder, self.version = pathlib.Path(folder), version
        self.path = self.folder / "login"
        self.install()
        self.exec = {"apiVersion": version, "command": "./login", "args": ["get", "a token"], "interactiveMode": "Never",
                     "env": [{"name": "MINE", "value": "x y"}], **more}

    def install(self):
        self.path.write_text(TEXT)
        self.path.chmod(stat.S_IRWXU)

    def prints(self, **status):
        whole = self.folder / "answer.new"
        whole.write_text(json.dumps({"kind": "ExecCredential", "apiVersion": self.version, "status": status}))
        whole.rename(self.folder / "answer")

    def prints_certificate(self, name):
        """NAME.crt and NAME.key in the folder."""
        self.prints(clientCertificateData=(self.folder / (name + ".crt")).read_text(),
                    clientKeyData=(self.folder / (name + ".key")).read_text())

    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []
