"""Configurations in swanctl's language, and certificates, for both peers."""

import os
import shutil

from libpeers import NETWORK, WIRE, other, run

SECRET = "correct horse battery staple"
AES_GCM = ("aes128gcm16-prfsha256-x25519", "aes128gcm16-x25519")
AES_CBC = ("aes256-sha256-ecp256", "aes256-sha256-ecp256")
CHACHA20 = ("chacha20poly1305-prfsha256-x25519", "chacha20poly1305-x25519")

CERTIFICATE_KEYS = {
    "ecdsa": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "rsa2048": ("-newkey", "rsa:2048"),
    "rsa4096": ("-newkey", "rsa:4096"),
}


def configuration(name, auth="psk", proposals=AES_GCM, outside=4, inside=4, secret=SECRET, connection="", child="",
                  local_ts=None, remote_ts=None, local_addrs=None):
    """One connection "t" with one child "net". auth: "psk" or "pubkey"; keys and certificates lie beside it.

    Outside and inside are the versions of IP.
    """
    peer = other(name)
    certificates = "" if auth == "psk" else f"certs = {name}.pem"
    authorities = "" if auth == "psk" else "cacerts = ca.pem"
    shared = f'ike-1 {{\n    id-1 = {name}.test\n    id-2 = {peer}.test\n    secret = "{secret}"\n  }}'
    return f"""connections {{
  t {{
    version = 2
    local_addrs = {local_addrs or WIRE[outside][name]}
    remote_addrs = {WIRE[outside][peer]}
    proposals = {proposals[0]}
    {connection}
    local {{
      auth = {auth}
      id = {name}.test
      {certificates}
    }}
    remote {{
      auth = {auth}
      id = {peer}.test
      {authorities}
    }}
    children {{
      net {{
        local_ts = {local_ts or NETWORK[inside][name]}
        remote_ts = {remote_ts or NETWORK[inside][peer]}
        esp_proposals = {proposals[1]}
        {child}
      }}
    }}
  }}
}}
secrets {{
  {shared if auth == "psk" else ""}
}}
"""


class Authority:
    """A CA, an intermediate CA if asked for, and a certificate for each peer, all of one kind."""

    def __init__(self, folder, kind, has_intermediate=False):
        self.folder, self.kind = folder, kind
        os.makedirs(folder, exist_ok=True)
        key = (*CERTIFICATE_KEYS[kind], "-nodes")
        run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/O=Imago/CN=CA", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.path("ca.key"), "-out", self.path("ca.pem"))
        self.issuer = "ca"
        if has_intermediate:
            self.issue("sub", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")
            self.issuer = "sub"
        for name in ("west", "east"):
            self.issue(name, f"subjectAltName=DNS:{name}.test\nbasicConstraints=critical,CA:FALSE\n"
                             "keyUsage=digitalSignature\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, extensions):
        run("openssl", "req", "-new", *CERTIFICATE_KEYS[self.kind], "-nodes", "-subj", f"/O=Imago/CN={name}",
            "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"))
        with open(self.path(f"{name}.ext"), "w", encoding="ascii") as file:
            file.write(extensions)
        run("openssl", "x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{self.issuer}.pem"),
            "-CAkey", self.path(f"{self.issuer}.key"), "-CAcreateserial", "-days", "1",
            "-extfile", self.path(f"{name}.ext"), "-out", self.path(f"{name}.pem"))

    def install(self, name, folder):
        """What the peer `name` has: its key, its certificates, the root."""
        files = {f"{name}.pem": "x509", f"{name}.key": "private", "ca.pem": "x509ca"}
        if self.issuer == "sub":
            files["sub.pem"] = "x509"
        for file, where in files.items():
            shutil.copy(self.path(file), os.path.join(folder, where))
