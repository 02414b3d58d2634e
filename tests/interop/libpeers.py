"""Two IKE daemons in two network namespaces, driven by swanctl. Standard library only."""

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile

from libvici import Vici

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from libprograms import IMAGOD, READY, Program, imagod_command, not_built, run, wait_until  # noqa: E402

CHARON = "/usr/sbin/charon-systemd"
PLUGINS = ("random nonce openssl aes sha1 sha2 hmac kdf gcm pem pkcs1 pkcs8 x509 pubkey constraints "
           "socket-default kernel-libipsec kernel-netlink vici updown")
BACKEND = os.environ.get("IMAGO_BACKEND", "user-esp")  # or xfrm, in a kernel that has it
if BACKEND == "xfrm":
    PLUGINS = PLUGINS.replace("kernel-libipsec ", "")
NAMES = ("west", "east")  # Imago is west; east is its peer
WIRE = {4: {"west": "192.0.2.1", "east": "192.0.2.2"}, 6: {"west": "2001:db8::1", "east": "2001:db8::2"}}
INSIDE = {4: {"west": "10.1.0.1", "east": "10.2.0.1"}, 6: {"west": "fd01::1", "east": "fd02::1"}}
NETWORK = {4: {"west": "10.1.0.0/24", "east": "10.2.0.0/24"}, 6: {"west": "fd01::/64", "east": "fd02::/64"}}
READY_SECONDS_MAX = 20
END_SECONDS_MAX = 10
SKIPPED = 77


def other(name):
    return NAMES[1 - NAMES.index(name)]


def why_not_here(needs_charon):
    """Why the tests cannot run on this host; None: they can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    for tool in ("ip", "ping", "openssl", "swanctl"):
        if not shutil.which(tool):
            return f"needs the program {tool}"
    if needs_charon:
        if not os.access(CHARON, os.X_OK):
            return f"needs {CHARON} (Debian: charon-systemd)"
        if BACKEND != "xfrm" and not os.path.exists("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"):
            return "needs charon's kernel-libipsec (Debian: libcharon-extra-plugins)"
    probe = f"imago-probe-{os.getpid()}"
    if run("ip", "netns", "add", probe, is_checked=False).returncode != 0:
        return "may not make network namespaces"
    run("ip", "netns", "delete", probe, is_checked=False)
    return None


# -- the daemons


class Daemon:
    """A daemon in the namespace `name`, spoken to by swanctl and by list-sas."""

    def __init__(self, lab, name, text, credentials=None):
        self.lab, self.name = lab, name
        self.folder = os.path.join(lab.folder, name)
        for folder in ("x509", "x509ca", "private"):
            os.makedirs(os.path.join(self.folder, folder))
        if credentials:
            credentials.install(name, self.folder)
        self.vici = os.path.join(self.folder, "vici")
        self.configuration = os.path.join(self.folder, "swanctl.conf")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(text)
        self.program = None
        self.environment = {**os.environ, "SWANCTL_DIR": self.folder,
                            "STRONGSWAN_CONF": os.path.join(lab.folder, "strongswan.conf")}

    def spawn(self, command, ready):
        """Starts it and waits until its log says that it is `ready`."""
        self.program = Program(self.lab.inside(self.name, *command), start_new_session=True, env=self.environment)
        self.program.wait_for(ready, READY_SECONDS_MAX)

    @property
    def process(self):
        return self.program.process

    def log(self):
        return self.program.said if self.program else ""

    def wait_for_log(self, pattern, seconds_max=15):
        return self.program.wait_for(pattern, seconds_max)

    def stop(self):
        """Ends it, returns how it ended."""
        return self.program.end(seconds_max=END_SECONDS_MAX) if self.program else None

    def swanctl(self, *options, is_checked=True):
        return run("swanctl", *options, "--uri", f"unix://{self.vici}", env=self.environment,
                   is_checked=is_checked)

    def initiate(self, child="net", is_checked=True):
        return self.swanctl("--initiate", "--child", child, "--timeout", "20", is_checked=is_checked)

    def rekey(self, kind, name):
        return self.swanctl("--rekey", f"--{kind}", name)

    def terminate(self, kind, name, is_checked=True):
        return self.swanctl("--terminate", f"--{kind}", name, "--timeout", "20", is_checked=is_checked)

    def sas(self):
        """[(connection, IKE SA with its "child-sas")] as the daemon lists them."""
        with Vici(self.vici) as vici:
            return [pair for event in vici.stream("list-sas", "list-sa") for pair in event.items()]

    def established(self):
        return [sa for _, sa in self.sas() if sa["state"] == "ESTABLISHED"]

    def installed(self):
        return [child for sa in self.established() for child in sa["child-sas"].values()
                if child["state"] == "INSTALLED"]


class Imagod(Daemon):
    def __init__(self, lab, name, text, credentials=None, options=()):
        super().__init__(lab, name, text, credentials)
        self.options = options

    def start(self):
        self.spawn(imagod_command(self.configuration, f"unix://{self.vici}", BACKEND, "--log-level",
                                  os.environ.get("IMAGO_LOG_LEVEL", "2"), *self.options), READY)
        return self


class Charon(Daemon):
    def __init__(self, lab, name, text, credentials=None, settings="", plugins=PLUGINS):
        super().__init__(lab, name, text, credentials)
        self.settings, self.plugins = settings, plugins

    def start(self):
        for folder in ("x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "rsa", "ecdsa", "bliss", "pkcs8", "pkcs12"):
            os.makedirs(os.path.join(self.folder, folder), exist_ok=True)
        path = os.path.join(self.folder, "strongswan.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""charon-systemd {{
  load = {self.plugins}
  {self.settings}
  plugins {{ vici {{ socket = unix://{self.vici} }} }}
  filelog {{ l {{
    path = stderr
    flush_line = yes
    default = 1
    ike = 2
    cfg = 2
    esp = 1
  }} }}
  journal {{ default = -1 }}
}}
""")
        self.environment["STRONGSWAN_CONF"] = path
        self.spawn((CHARON,), r"spawning \d+ worker threads")
        self.swanctl("--load-all")
        return self


# -- what they stand on


class Lab:
    """Two namespaces joined by a wire, and everything that was started in them."""

    made = []  # for the end of the program, whatever ended it
    count = 0

    def __init__(self, mtu=1500):
        Lab.count += 1
        self.tag = f"imago-{os.getpid()}-{Lab.count}"
        self.folder = tempfile.mkdtemp(prefix=f"{self.tag}-")
        self.daemons = []
        self.is_kept = False
        Lab.made.append(self)
        with open(os.path.join(self.folder, "strongswan.conf"), "w", encoding="utf-8"):
            pass
        for name in NAMES:
            run("ip", "netns", "add", self.namespace(name))
            # No link-local addresses that come when they like; ours are usable at once.
            for where in ("all", "default"):
                run(*self.inside(name, "sh", "-c", f"cd /proc/sys/net/ipv6/conf/{where}; echo 0 > accept_dad;"
                                 " echo 1 > addr_gen_mode"))
        run("ip", "link", "add", "eth0", "netns", self.namespace("west"), "type", "veth",
            "peer", "name", "eth0", "netns", self.namespace("east"))
        for name in NAMES:
            ip = ("ip", "-n", self.namespace(name))
            run(*ip, "link", "set", "lo", "up")
            run(*ip, "link", "set", "eth0", "mtu", str(mtu))
            for family, width in ((4, 24), (6, 64)):
                if family == 6 and mtu < 1280:
                    continue
                options = ("nodad",) if family == 6 else ()
                run(*ip, "address", "add", f"{WIRE[family][name]}/{width}", "dev", "eth0", *options)
                run(*ip, "address", "add", INSIDE[family][name], "dev", "lo", *options)
            run(*ip, "link", "set", "eth0", "up")
        if BACKEND == "xfrm":
            self.add_routes(mtu)
        for name in NAMES:  # what the kernel adds to a link that came up
            wait_until(lambda: self.is_settled(name), f"eth0 of {name} has its routes")  # noqa: B023

    def add_routes(self, mtu):
        """The kernel's IPsec takes packets on their way; so there must be a way."""
        for name in NAMES:
            peer = other(name)
            for family in (4, 6):
                if family == 4 or mtu >= 1280:
                    run("ip", "-n", self.namespace(name), "route", "add", NETWORK[family][peer], "via",
                        WIRE[family][peer], "src", INSIDE[family][name])

    def is_settled(self, name):
        link = run("ip", "-n", self.namespace(name), "-o", "link", "show", "eth0").stdout
        routes = run("ip", "-n", self.namespace(name), "-6", "route", "show", "table", "all", is_checked=False).stdout
        addresses = run("ip", "-n", self.namespace(name), "-6", "-o", "address", "show", "eth0").stdout
        # The kernel makes an address's own route in its own time, after the link's.
        own = [f"local {address} dev eth0" for address in WIRE[6].values() if f" {address}/" in addresses]
        return ("NO-CARRIER" not in link and "state UP" in link and
                all(route in routes for route in ["ff00::/8 dev eth0", *own]))

    def namespace(self, name):
        return f"{self.tag}-{name}"

    def inside(self, name, *command):
        return ["ip", "netns", "exec", self.namespace(name), *command]

    def start(self, daemon):
        self.daemons.append(daemon)
        return daemon.start()

    def ping(self, source, addresses=None, count=2, size=56):
        addresses = addresses or INSIDE[4]
        run(*self.inside(source, "ping", "-n", "-q", "-c", str(count), "-i", "0.05", "-W", "5", "-s", str(size),
                         "-I", addresses[source], addresses[other(source)]))

    def ping_both_ways(self, addresses=None):
        for name in NAMES:
            self.ping(name, addresses)

    def hold_wire(self):
        """What both send from now on waits, for a second at least. False: this kernel cannot."""
        for name in NAMES:
            shape = ("tc", "-n", self.namespace(name), "qdisc", "add", "dev", "eth0", "root",
                     "tbf", "rate", "1kbit", "burst", "1600", "limit", "100000")
            if not shutil.which("tc") or run(*shape, is_checked=False).returncode != 0:
                return False
        self.ping("west", WIRE[4], count=1, size=1400)  # uses up what may pass at once
        return True

    def release_wire(self, name):
        """What this side held back goes out now, in the order in which it was sent."""
        run("tc", "-n", self.namespace(name), "qdisc", "change", "dev", "eth0", "root",
            "tbf", "rate", "1gbit", "burst", "100000", "limit", "100000")
        # The queue still sleeps as long as the slow rate asked for: another packet wakes it.
        run(*self.inside(name, "bash", "-c", f"echo > /dev/udp/{WIRE[4][other(name)]}/9"))

    def kernel_state(self, name):
        """Links, addresses, rules and routes of one side, as text to compare."""
        ip = ("ip", "-n", self.namespace(name))
        parts = [run(*ip, "-o", what, "show").stdout for what in ("address", "link")]
        if BACKEND == "xfrm":
            parts += [run(*ip, "xfrm", what).stdout for what in ("state", "policy")]
        for family in ("-4", "-6"):
            parts += [run(*ip, family, "rule", "show").stdout,
                      run(*ip, family, "route", "show", "table", "all", is_checked=False).stdout]
        # What changes by itself, or by what the tests do to the wire.
        return re.sub(r" (state|qdisc|valid_lft) \S+", "", "\n".join(parts))

    def logs(self):
        return "\n".join(f"===== {daemon.name}: {type(daemon).__name__} =====\n{daemon.log()}" for daemon in self.daemons)

    def remove(self):
        endings = [daemon.stop() for daemon in self.daemons]
        for name in NAMES:
            run("ip", "netns", "delete", self.namespace(name), is_checked=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self in Lab.made:
            Lab.made.remove(self)
        return endings

    @staticmethod
    def remove_all():
        for lab in list(Lab.made):
            lab.remove()


def interrupted(_number, _frame):
    raise KeyboardInterrupt  # all else unittest takes for a failed test, and goes on


def prepare(needs_charon):
    """Ends the program as skipped where the host does not allow it; else cares for the end."""
    reason = why_not_here(needs_charon)
    if reason is None and (missing := not_built(IMAGOD)):
        sys.exit(missing)
    if reason:
        print(f"{os.path.basename(sys.argv[0])}: {reason}")
        sys.exit(SKIPPED)
    atexit.register(Lab.remove_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
