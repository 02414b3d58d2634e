"""Two IKE daemons in two network namespaces, driven by their vici sockets. Standard library only."""

import atexit
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

CHARON = "/usr/sbin/charon-systemd"
PLUGINS = ("random nonce openssl aes sha1 sha2 hmac kdf gcm pem pkcs1 pkcs8 x509 pubkey constraints "
           "socket-default kernel-libipsec kernel-netlink vici updown")
NAMES = ("west", "east")  # Imago is west; east is its peer
WIRE = {4: {"west": "192.0.2.1", "east": "192.0.2.2"}, 6: {"west": "2001:db8::1", "east": "2001:db8::2"}}
INSIDE = {4: {"west": "10.1.0.1", "east": "10.2.0.1"}, 6: {"west": "fd01::1", "east": "fd02::1"}}
NETWORK = {4: {"west": "10.1.0.0/24", "east": "10.2.0.0/24"}, 6: {"west": "fd01::/64", "east": "fd02::/64"}}
READY_SECONDS_MAX = 20
END_SECONDS_MAX = 10
CLONE_NEWNET = 0x40000000
SKIPPED = 77


def other(name):
    return NAMES[1 - NAMES.index(name)]


def run(*command, environment=None, is_checked=True, timeout=30):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, env=environment)
    if is_checked and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def wait_until(is_true, what, seconds_max=15):
    deadline = time.monotonic() + seconds_max
    while not (found := is_true()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max} s: {what}")
        time.sleep(0.02)
    return found


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
        if not os.path.exists("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"):
            return "needs charon's kernel-libipsec (Debian: libcharon-extra-plugins)"
    probe = f"imago-probe-{os.getpid()}"
    if run("ip", "netns", "add", probe, is_checked=False).returncode != 0:
        return "may not make network namespaces"
    run("ip", "netns", "delete", probe, is_checked=False)
    return None


def imagod_path():
    return os.path.join(os.environ.get("IMAGO_BUILD_DIR", "build/dev"), "daemon", "imagod")


# -- vici: the control protocol's encoding, as far as listing needs it


class Vici:
    """One connection to a vici socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, kind, name, content=b""):
        packet = bytes([kind, len(name)]) + name.encode() + content
        self.socket.sendall(struct.pack("!I", len(packet)) + packet)

    def receive(self):
        packet = self.read(struct.unpack("!I", self.read(4))[0])
        if packet[0] in (1, 5, 6):  # response; event confirmed; event unknown
            return packet[0], self.parse(packet[1:])
        if packet[0] != 7:
            raise AssertionError(f"vici packet of kind {packet[0]}")
        return 7, self.parse(packet[2 + packet[1]:])

    def read(self, size):
        octets = b""
        while len(octets) < size:
            part = self.socket.recv(size - len(octets))
            if not part:
                raise AssertionError("the vici socket was closed")
            octets += part
        return octets

    @staticmethod
    def parse(octets):
        root, stack, at, items = {}, [], 0, None
        here = root

        def counted(at, width):
            size = int.from_bytes(octets[at:at + width], "big")
            return octets[at + width:at + width + size].decode("utf-8", "replace"), at + width + size

        while at < len(octets):
            kind, at = octets[at], at + 1
            if kind == 1:  # a section begins
                name, at = counted(at, 1)
                stack.append(here)
                here[name] = here = {}
            elif kind == 2:
                here = stack.pop()
            elif kind == 3:
                name, at = counted(at, 1)
                here[name], at = counted(at, 2)
            elif kind == 4:
                name, at = counted(at, 1)
                here[name] = items = []
            elif kind == 5:
                item, at = counted(at, 2)
                items.append(item)
        return root

    def stream(self, command, event):
        self.send(3, event)
        self.receive()
        self.send(0, command)
        events = []
        while True:
            kind, content = self.receive()
            if kind == 1:
                return events
            events.append(content)


# -- sockets in another namespace


def enter_and(namespace, make):
    """What make() returns, called in the namespace. Only a thread of its own goes there."""
    held = []

    def work():
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with open(f"/run/netns/{namespace}", "rb") as file:
                if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"entering {namespace}")
            held.append((make(), None))
        except OSError as problem:
            held.append((None, problem))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if held[0][1]:
        raise held[0][1]
    return held[0][0]


def udp_socket(address, port):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE: a stall of this process loses nothing
    made.bind((address, port))
    made.settimeout(0.05)
    return made


class Wire:
    """Counts what kinds of packets cross the wire while it is open, at west's end of it."""

    def __init__(self, lab):
        def make():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            made.bind(("eth0", 3))
            made.settimeout(0.2)
            return made
        self.socket = enter_and(lab.namespace("west"), make)
        self.kinds = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Reads what has arrived by now."""
        with contextlib.suppress(TimeoutError):
            while True:
                kind = self.kind_of(self.socket.recv(2000))
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.socket.close()

    @staticmethod
    def kind_of(frame):
        version = {0x0800: 4, 0x86DD: 6}.get(int.from_bytes(frame[12:14], "big"))
        if version is None:
            return "arp" if frame[12:14] == b"\x08\x06" else "no IP"
        protocol, payload = (frame[23], frame[34:]) if version == 4 else (frame[20], frame[54:])
        if version == 6 and (protocol == 0 or protocol == 58 and payload[0] in range(130, 144)):
            return "neighbours"  # and groups of IPv6; as ARP, no traffic of anyone
        if protocol != 17 or payload[0:2] != payload[2:4] or payload[0:2] != (4500).to_bytes(2, "big"):
            return f"IPv{version} {protocol}"
        return f"IKE in IPv{version}" if payload[8:12] == bytes(4) else f"ESP in IPv{version}"


class Flood:
    """Numbered datagrams from west, echoed by east, at a steady rate until it is stopped."""

    PORT = 7007
    INTERVAL_SECONDS = 0.002
    DRAIN_SECONDS_MAX = 3

    def __init__(self, lab, addresses=None):
        addresses = addresses or INSIDE[4]
        self.target = (addresses["east"], self.PORT)
        self.sender = enter_and(lab.namespace("west"), lambda: udp_socket(addresses["west"], 0))
        self.echoer = enter_and(lab.namespace("east"), lambda: udp_socket(addresses["east"], self.PORT))
        self.sent, self.arrived, self.answered = 0, set(), set()
        self.sending, self.reading = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.send, self.echo, self.read)]

    def __enter__(self):
        self.sending.set()
        self.reading.set()
        for thread in self.threads:
            thread.start()
        self.wait_for_answers(20)
        return self

    def __exit__(self, failure, *_):
        if not failure:
            self.wait_for_answers(50)  # after the last step, too
        self.sending.clear()
        self.threads[0].join()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: len(self.answered) == self.sent, "all answers", self.DRAIN_SECONDS_MAX)
        self.reading.clear()
        for thread in self.threads[1:]:
            thread.join()
        self.sender.close()
        self.echoer.close()

    def wait_for_answers(self, count):
        wanted = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= wanted, f"{count} answers through the tunnel")

    def send(self):
        while self.sending.is_set():
            with contextlib.suppress(OSError):
                self.sender.sendto(self.sent.to_bytes(4, "big") + bytes(60), self.target)
            self.sent += 1
            time.sleep(self.INTERVAL_SECONDS)

    def echo(self):
        while self.reading.is_set():
            with contextlib.suppress(OSError):
                octets, source = self.echoer.recvfrom(200)
                self.arrived.add(octets[:4])
                self.echoer.sendto(octets, source)

    def read(self):
        while self.reading.is_set():
            with contextlib.suppress(OSError):
                self.answered.add(self.sender.recv(200)[:4])

    @property
    def lost(self):
        return {"towards the peer": self.sent - len(self.arrived), "back": len(self.arrived) - len(self.answered)}


# -- the daemons


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


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
        self.log_path = os.path.join(self.folder, "log")
        self.configuration = os.path.join(self.folder, "swanctl.conf")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(text)
        self.process = None
        self.environment = {**os.environ, "SWANCTL_DIR": self.folder,
                            "STRONGSWAN_CONF": os.path.join(lab.folder, "strongswan.conf")}

    def spawn(self, command, environment=None):
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self.lab.inside(self.name, *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=die_with_parent, env=environment)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for_log(self, pattern, seconds_max=15):
        return wait_until(lambda: re.search(pattern, self.log()), f"'{pattern}' in the log of {self.name}", seconds_max)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ends it, returns how it ended."""
        if self.is_running():
            self.process.terminate()
            try:
                self.process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode if self.process else None

    def swanctl(self, *options, is_checked=True):
        return run("swanctl", *options, "--uri", f"unix://{self.vici}", environment=self.environment,
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
    def start(self):
        self.spawn((imagod_path(), "--config", self.configuration, "--control", f"unix://{self.vici}",
                    "--backend", "user-esp", "--log-level", os.environ.get("IMAGO_LOG_LEVEL", "2")))
        wait_until(lambda: "imagod: ready" in self.log() or not self.is_running(), "imagod is ready", READY_SECONDS_MAX)
        if not self.is_running():
            raise AssertionError(f"imagod ended at once: {self.log()}")
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
    path = {self.log_path}
    append = yes
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
        self.spawn((CHARON,), environment=self.environment)
        wait_until(lambda: os.path.exists(self.vici) or not self.is_running(), "charon is ready", READY_SECONDS_MAX)
        if not self.is_running():
            raise AssertionError(f"charon ended at once: {self.log()}")
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
        for name in NAMES:  # what the kernel adds to a link that came up
            wait_until(lambda: self.is_settled(name), f"eth0 of {name} has its routes")  # noqa: B023

    def is_settled(self, name):
        link = run("ip", "-n", self.namespace(name), "-o", "link", "show", "eth0").stdout
        routes = run("ip", "-n", self.namespace(name), "-6", "route", "show", "table", "all", is_checked=False).stdout
        return "NO-CARRIER" not in link and "state UP" in link and "ff00::/8 dev eth0" in routes

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

    def release_wire(self):
        for name in NAMES:
            run("tc", "-n", self.namespace(name), "qdisc", "change", "dev", "eth0", "root",
                "tbf", "rate", "1gbit", "burst", "100000", "limit", "100000")

    def kernel_state(self, name):
        """Links, addresses, rules and routes of one side, as text to compare."""
        ip = ("ip", "-n", self.namespace(name))
        parts = [run(*ip, "-o", what, "show").stdout for what in ("address", "link")]
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


def interrupted(number, _frame):
    raise SystemExit(128 + number)


def prepare(needs_charon):
    """Ends the program as skipped where the host does not allow it; else cares for the end."""
    reason = why_not_here(needs_charon)
    if reason is None and not os.access(imagod_path(), os.X_OK):
        sys.exit(f"{imagod_path()} is not built")
    if reason:
        print(f"{os.path.basename(sys.argv[0])}: {reason}")
        sys.exit(SKIPPED)
    atexit.register(Lab.remove_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
