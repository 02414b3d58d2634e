"""The peers of the table: how each is started, told what to do, and what it cannot do."""

import os
import re
import shutil

from libconfig import AES_GCM, SECRET
from libopeniked import OpenikedPeer
from libpeers import CHARON, NETWORK, Charon, Daemon, Imagod, run

# Its package and strongSwan's exclude each other, so it is unpacked here (tools/dev/kernel.sh).
LIBRESWAN = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                         "build", "peers", "libreswan")
AES256_GCM = ("aes256gcm16-prfsha256-ecp256", "aes256gcm16-ecp256")


class CanAll:
    """A peer that can do every case and has every feature; mixed into a Daemon."""

    @staticmethod
    def cannot(_role, _auth, _shape):
        return None

    @staticmethod
    def lacks(_case, _feature):
        return None


class SwanctlPeer(CanAll):
    """What those that speak swanctl share; mixed into a Daemon."""

    PROPOSALS = AES_GCM
    REVIVES = False  # what it was told to initiate, when the other deletes it


class ImagoPeer(SwanctlPeer, Imagod):
    NAME = "imago"

    def __init__(self, lab, case, credentials):
        super().__init__(lab, "east", case.configuration("east"), credentials)

    @staticmethod
    def why_not():
        return None

    @staticmethod
    def version():
        return "this tree"


class CharonPeer(SwanctlPeer, Charon):
    NAME = "charon"

    def __init__(self, lab, case, credentials):
        # In transport mode its routes would lead IKE itself.
        super().__init__(lab, "east", case.configuration("east"), credentials, "install_routes = no")

    @staticmethod
    def why_not():
        return None if os.access(CHARON, os.X_OK) else f"needs {CHARON} (Debian: charon-systemd)"

    @staticmethod
    def version():
        said = run("dpkg-query", "-W", "-f=${Version}", "charon-systemd", is_checked=False).stdout
        return re.split("[-+]", said)[0] or "unknown"


class LibreswanPeer(CanAll, Daemon):
    """pluto, told by whack. Its files have fixed places, so it lives in throw-away roots only."""

    NAME = "libreswan"
    PROPOSALS = AES256_GCM
    REVIVES = True
    NSS = "/var/lib/ipsec/nss"

    def __init__(self, lab, case, credentials):
        super().__init__(lab, "east", self.connection(case))
        self.credentials = credentials

    @staticmethod
    def connection(case):
        if case.is_transport:
            networks = "type=transport"
        else:
            networks = (f"type=tunnel\n    leftsubnet={NETWORK[case.shape.inside]['east']}"
                        f"\n    rightsubnet={NETWORK[case.shape.inside]['west']}")
        if case.auth == "psk":
            proof = "authby=secret\n    leftid=@east.test\n    rightid=@west.test"
        else:
            kind = "rsasig\n    sendca=issuer" if case.auth.startswith("rsa") else "ecdsa"
            proof = f"authby={kind}\n    leftid=@east.test\n    leftcert=east\n    rightid=@west.test\n    rightca=%same"
        return f"""config setup
    logtime=yes
conn t
    {proof}
    ikev2=insist
    left={case.own_address("east")}
    right={case.peer_address("east")}
    {networks}
    ike=aes_gcm256-sha2_256;dh19
    esp=aes_gcm256;dh19
    pfs=yes
    esn={"yes" if case.shape.uses_esn else "no"}
    auto=add
"""

    @staticmethod
    def why_not():
        if not os.access(f"{LIBRESWAN}/usr/libexec/ipsec/pluto", os.X_OK):
            return "Debian's libreswan could not be unpacked"
        with open("/proc/cpuinfo", encoding="ascii") as file:
            if "User Mode Linux" not in file.read():
                return "libreswan is copied over the root, which only a throw-away kernel allows"
        for folder in ("etc", "usr"):
            run("cp", "-a", f"{LIBRESWAN}/{folder}", "/")
        said = run("ldd", "/usr/libexec/ipsec/pluto").stdout
        lost = re.findall(r"(\S+) => not found", said)
        return f"libreswan needs {', '.join(lost)}" if lost else None

    @staticmethod
    def version():
        found = re.search(r"Libreswan (\S+)", run("ipsec", "--version").stdout)
        return found.group(1) if found else "unknown"

    def start(self):
        for folder in (self.NSS, "/run/pluto"):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        os.makedirs("/var/log/pluto", exist_ok=True)
        shutil.copy(self.configuration, "/etc/ipsec.conf")
        with open("/etc/ipsec.secrets", "w", encoding="ascii") as file:
            file.write(f'@east.test @west.test : PSK "{SECRET}"\n')
        os.chmod("/etc/ipsec.secrets", 0o600)
        run("ipsec", "initnss")
        if self.credentials:
            self.install_certificate()
        self.spawn(("/usr/libexec/ipsec/pluto", "--config", "/etc/ipsec.conf", "--nofork", "--stderrlog"),
                   "listening for IKE messages|loading secrets from")
        self.ipsec("auto", "--add", "t")
        return self

    def install_certificate(self):
        bundle = os.path.join(self.folder, "east.p12")
        paths = {name: self.credentials.path(name) for name in ("east.pem", "east.key", "ca.pem", "sub.pem")}
        chain = os.path.join(self.folder, "chain.pem")
        with open(chain, "w", encoding="ascii") as to:
            for name in ("ca.pem", "sub.pem"):
                if os.path.exists(paths[name]):
                    with open(paths[name], encoding="ascii") as file:
                        to.write(file.read())
        run("openssl", "pkcs12", "-export", "-in", paths["east.pem"], "-inkey", paths["east.key"], "-certfile", chain,
            "-name", "east", "-passout", "pass:", "-out", bundle)
        run("pk12util", "-i", bundle, "-d", f"sql:{self.NSS}", "-K", "", "-W", "")
        run("certutil", "-A", "-d", f"sql:{self.NSS}", "-n", "authority", "-t", "CT,,", "-i", paths["ca.pem"])

    def ipsec(self, *arguments):
        return run(*self.lab.inside("east", "ipsec", *arguments))

    def initiate(self):
        self.ipsec("auto", "--up", "t")

    def rekey(self, kind, _name):
        self.ipsec("whack", {"child": "--rekey-ipsec", "ike": "--rekey-ike"}[kind], "--name", "t")

    def terminate(self, _kind, _name):
        self.ipsec("whack", "--terminate", "--name", "t")


PEERS = {one.NAME: one for one in (ImagoPeer, CharonPeer, LibreswanPeer, OpenikedPeer)}
