"""The peers of the table: how each is started, told what to do, and what it cannot do."""

import os
import re

from libconfig import AES_GCM, configuration
from libpeers import CHARON, Charon, Imagod, run


class SwanctlPeer:
    """What those that speak swanctl share; mixed into a Daemon."""

    PROPOSALS = AES_GCM

    @staticmethod
    def cannot(_role, _auth, _shape):
        return None

    @staticmethod
    def lacks(_case, _feature):
        return None


class ImagoPeer(SwanctlPeer, Imagod):
    NAME = "imago"

    def __init__(self, lab, case, credentials):
        super().__init__(lab, "east", configuration("east", **case.settings()), credentials)

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
        super().__init__(lab, "east", configuration("east", **case.settings()), credentials, "install_routes = no")

    @staticmethod
    def why_not():
        return None if os.access(CHARON, os.X_OK) else f"needs {CHARON} (Debian: charon-systemd)"

    @staticmethod
    def version():
        said = run("dpkg-query", "-W", "-f=${Version}", "charon-systemd", is_checked=False).stdout
        return re.split("[-+]", said)[0] or "unknown"


PEERS = {one.NAME: one for one in (ImagoPeer, CharonPeer)}
