"""OpenIKED. On Linux it drives the kernel by PF_KEY: no AEAD and no ESN for ESP."""

import os
import re
import shutil

from libconfig import SECRET
from libpeers import NETWORK, Daemon, Program, run, wait_until

IKED = "/usr/sbin/iked"
# Its files have fixed places, so it lives in throw-away roots only.
KEY = "/etc/iked/private/local.key"
FOLDERS = {"ca": "/etc/iked/ca", "certs": "/etc/iked/certs", "private": "/etc/iked/private"}


class OpenikedPeer(Daemon):
    NAME = "openiked"
    PROPOSALS = ("aes256gcm16-prfsha256-ecp256", "aes256-sha512-ecp256")
    REVIVES = True  # it begins again by a timer
    # It leaves unanswered the Delete of an IKE SA that it began and Imago has rekeyed; so Imago lists that one until it
    # has sent it often enough.
    ANSWERS_ALL_DELETES = False
    FORGETS = "sa_free: reload"  # what its log says of an IKE SA that came before it had read its configuration
    LIFETIMES = "ikelifetime 50 lifetime 25"

    def __init__(self, lab, case, credentials):
        super().__init__(lab, "east", "")
        self.case, self.credentials = case, credentials
        self.socket = os.path.join(self.folder, "control")
        self.begins = False

    def text(self):
        case = self.case
        mode = "transport" if case.is_transport else ""
        if case.is_transport:
            ends = {name: case.own_address(name) for name in ("east", "west")}
        else:
            ends = NETWORK[case.shape.inside]
        proof = f'psk "{SECRET}"' if case.auth == "psk" else "rsa" if case.auth.startswith("rsa") else "ecdsa256"
        return f"""set fragmentation
ikev2 "t" {"active" if self.begins else "passive"} {mode} esp \\
  from {ends["east"]} to {ends["west"]} \\
  local {case.own_address("east")} peer {case.peer_address("east")} \\
  ikesa enc aes-256-gcm prf hmac-sha2-256 group ecp256 \\
  childsa enc aes-256 auth hmac-sha2-512 group ecp256 noesn \\
  srcid "east.test" dstid "west.test" \\
  {self.LIFETIMES if self.has_short_life(case) else ""} {proof}
"""

    @staticmethod
    def has_short_life(case):
        return case.auth == "psk" and case.shape.name == "tunnel"

    @staticmethod
    def why_not():
        if not os.access(IKED, os.X_OK):
            return f"needs {IKED} (Debian: openiked)"
        with open("/proc/cpuinfo", encoding="ascii") as file:
            if "User Mode Linux" not in file.read():
                return "openiked has its files in /etc, which only a throw-away kernel allows"
        return None

    @staticmethod
    def version():
        said = run("dpkg-query", "-W", "-f=${Version}", "openiked", is_checked=False).stdout
        return re.split("[-+]", said)[0] or "unknown"

    @staticmethod
    def cannot(_role, _auth, shape):
        if shape == "ESN":
            return "openiked has no ESN on Linux"
        if shape in ("IPv4 in IPv6", "IPv6 in IPv4"):  # it asks for another Child SA with every packet
            return "openiked's SAs, made by PF_KEY, take no packets of the other IP version"
        return None

    @staticmethod
    def lacks(case, feature):
        if feature in ("child rekey by peer", "IKE rekey by peer") and not OpenikedPeer.has_short_life(case):
            return "openiked rekeys by lifetimes only: see its psk tunnel rows"
        return None

    def start(self):
        for folder in FOLDERS.values():
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        if self.credentials:
            self.install_certificate()
        else:  # it wants a key, also where none is used
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", KEY)
        os.chmod(KEY, 0o600)
        with open(self.configuration, "w", encoding="ascii") as file:
            file.write(self.text())
        os.chmod(self.configuration, 0o600)
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.program = Program(self.lab.inside("east", IKED, "-d", "-v", "-f", self.configuration, "-s", self.socket),
                               start_new_session=True)
        wait_until(self.is_ready, "openiked answers", 60)
        return self

    def install_certificate(self):
        for name, to in (("ca.pem", "ca/ca.pem"), ("sub.pem", "ca/sub.pem"), ("east.pem", "certs/east.pem"),
                         ("east.key", "private/local.key")):
            if os.path.exists(self.credentials.path(name)):
                shutil.copy(self.credentials.path(name), f"/etc/iked/{to}")

    def control(self, *arguments):
        return run(*self.lab.inside("east", "ikectl", "-s", self.socket, *arguments))

    def is_ready(self):
        """It listens before it answers; who asks between waits for ever."""
        assert self.program.is_running(), "openiked did not start"
        asked = ("timeout", "5", "ikectl", "-s", self.socket, "show", "sa")
        return run(*self.lab.inside("east", *asked), is_checked=False).returncode == 0

    def initiate(self):
        """It begins when it is started, if it is to begin."""
        self.program.end()
        self.begins = True
        self.start()
        # Imago is done when it has answered; a packet before that would be lost.
        self.wait_for_log("loaded flows", 60)

    def rekey(self, _kind, _name):
        """By its lifetimes."""

    def terminate(self, _kind, _name):
        self.control("reset", "id", "FQDN/west.test")
