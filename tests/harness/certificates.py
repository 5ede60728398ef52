# SPDX-License-Identifier: Apache-2.0
"""Authorities and certificates of a scene, and openssl's own server to show them."""
import subprocess

from harness import peers
from harness.wait import free_port, wait_until

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
SECONDS = 20


def _openssl(folder, *words):
    subprocess.run([peers.need("openssl"), *words], cwd=folder, check=True, capture_output=True)


def authority(folder, name):
    """NAME.pem and NAME.key."""
    _openssl(folder, "req", "-x509", *CURVE, "-days", "2", "-subj", f"/CN={name}", "-addext",
             "basicConstraints=critical,CA:TRUE", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(folder, name, ca, names="", days=2):
    """NAME.pem and NAME.key, signed by an authority; names: "DNS:localhost,IP:127.0.0.1"."""
    _openssl(folder, "req", *CURVE, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
             f"{name}.request")
    (folder / f"{name}.names").write_text(f"subjectAltName={names}\n" if names else "\n")
    _openssl(folder, "x509", "-req", "-in", f"{name}.request", "-CA", f"{ca}.pem", "-CAkey",
             f"{ca}.key", "-CAcreateserial", "-days", str(days), "-extfile", f"{name}.names",
             "-out", f"{name}.pem")


def usual(folder):
    """An authority `ca`, and `server` for localhost."""
    authority(folder, "ca")
    certificate(folder, "server", "ca", "DNS:localhost,IP:127.0.0.1")


class TlsServer:
    """`openssl s_server` that keeps what came."""

    def __init__(self, folder, certificate_name, *options):
        self.path = folder / f"{certificate_name}.out"
        self.folder, self.port = folder, free_port()
        self.command = [
            peers.need("openssl"), "s_server", "-accept", f"127.0.0.1:{self.port}", "-quiet",
            "-cert", f"{certificate_name}.pem", "-key", f"{certificate_name}.key", *options]

    def __enter__(self):
        with open(self.path, "wb") as out:
            # At the end of its standard input it would leave.
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.PIPE,
                                            stdout=out, stderr=subprocess.PIPE)
        wait_until(lambda: peers.answers(self.port), SECONDS, "openssl s_server")
        return self

    def wait_for_lines(self, count):
        wait_until(lambda: self.path.read_bytes().count(b"\n") >= count, SECONDS,
                   lambda: f"{count} lines: {self.path.read_bytes()[-200:]}")
        return self.path.read_bytes().splitlines()

    def __exit__(self, kind, trouble, trace):
        self.process.kill()
        self.process.communicate()
