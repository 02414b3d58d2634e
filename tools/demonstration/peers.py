"""Two daemons in two network namespaces, and all that has to be taken away again."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

from demonstration.capture import PATTERN

ENDS = ("west", "east")
WIRE = {"west": "192.0.2.1", "east": "192.0.2.2"}
INSIDE = {"west": "10.1.0.1", "east": "10.2.0.1"}
NETWORK = {"west": "10.1.0.0/24", "east": "10.2.0.0/24"}
FLOOD_RATE = 1000  # packets a second
READY_SECONDS_MAX = 10
END_SECONDS_MAX = 8

CONFIGURATION = """\
connections {{
  demo {{
    version = 2
    local_addrs = {local_address}
    remote_addrs = {remote_address}
    proposals = aes128gcm16-prfsha256-x25519
    local {{
      auth = pubkey
      id = {local}.example
      certs = {folder}/{local}.pem
    }}
    remote {{
      auth = pubkey
      id = {remote}.example
      cacerts = {folder}/ca.pem
    }}
    children {{
      net {{
        local_ts = {local_network}
        remote_ts = {remote_network}
        esp_proposals = aes128gcm16-x25519
      }}
    }}
  }}
}}
secrets {{
  private-{local} {{
    file = {folder}/{local}.key
  }}
}}
"""


class Failure(Exception):
    pass


def run(*command, timeout=20):
    """Output of a command that must succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                              stdin=subprocess.DEVNULL, start_new_session=True)
    except subprocess.TimeoutExpired:
        raise Failure(f"'{' '.join(command)}' took longer than {timeout} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failure(f"'{' '.join(command)}' ended with {done.returncode}: {said[-1] if said else 'silence'}")
    return done.stdout


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Peers:
    """`backend`: "user-esp", or "xfrm" where the kernel has ESP."""

    def __init__(self, build, logs, backend="user-esp"):
        self.backend = backend
        self.imagod = os.path.abspath(os.path.join(build, "daemon", "imagod"))
        self.imagoctl = os.path.abspath(os.path.join(build, "tools", "imagoctl"))
        self.logs = logs
        self.folder = None
        self.namespaces = []
        self.children = {}  # name: process; what was started and may still run
        self.ended = []  # ids of all that were started
        self.threads = []
        self.stubborn = []

    def namespace(self, end):
        return f"imago-demo-{os.getpid()}-{end}"

    def log(self, name):
        return os.path.join(self.logs, f"demo-{name}.log")

    def log_names(self):
        return " ".join(os.path.relpath(self.log(name)) for name in ENDS)

    def control(self, end):
        return f"unix://{self.folder}/{end}.vici"

    def inside(self, end, *command):
        return ["ip", "netns", "exec", self.namespace(end), *command]

    # -- what it stands on

    def make_network(self):
        os.makedirs(self.logs, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix=f"imago-demo-{os.getpid()}-")
        for end in ENDS:
            self.namespaces.append(self.namespace(end))
            run("ip", "netns", "add", self.namespace(end))
            # Only what IKE and ESP send shall cross the wire: no IPv6 neighbour discovery.
            run(*self.inside(end, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6;"
                             " echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"))
        west, east = (self.namespace(end) for end in ENDS)
        run("ip", "link", "add", "eth0", "netns", west, "type", "veth", "peer", "name", "eth0", "netns", east)
        for end in ENDS:
            inside = ("ip", "-n", self.namespace(end))
            run(*inside, "link", "set", "lo", "up")
            run(*inside, "address", "add", f"{WIRE[end]}/24", "dev", "eth0")
            run(*inside, "address", "add", f"{INSIDE[end]}/32", "dev", "lo")
            run(*inside, "link", "set", "eth0", "up")
            if self.backend == "xfrm":  # the kernel's IPsec takes packets on their way, so there must be a way
                other = ENDS[1 - ENDS.index(end)]
                run(*inside, "route", "add", NETWORK[other], "via", WIRE[other], "src", INSIDE[end])

    def make_certificates(self):
        os.chmod(self.folder, 0o700)
        where = os.path.join(self.folder, "")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/O=Imago demo/CN=CA",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", f"{where}ca.key", "-out", f"{where}ca.pem")
        for end in ENDS:
            run("openssl", "req", "-new", *key, "-subj", f"/O=Imago demo/CN={end}.example",
                "-keyout", f"{where}{end}.key", "-out", f"{where}{end}.csr")
            with open(f"{where}{end}.ext", "w", encoding="ascii") as file:
                file.write(f"subjectAltName=DNS:{end}.example\nbasicConstraints=critical,CA:FALSE\n"
                           "keyUsage=digitalSignature\n")
            run("openssl", "x509", "-req", "-in", f"{where}{end}.csr", "-CA", f"{where}ca.pem", "-CAkey",
                f"{where}ca.key", "-CAcreateserial", "-days", "1", "-extfile", f"{where}{end}.ext",
                "-out", f"{where}{end}.pem")

    # -- the daemons

    def write_configuration(self, end):
        other = ENDS[1 - ENDS.index(end)]
        path = os.path.join(self.folder, f"{end}.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(
                folder=self.folder, local=end, remote=other, local_address=WIRE[end], remote_address=WIRE[other],
                local_network=NETWORK[end], remote_network=NETWORK[other]))
        return path

    def start(self, name, command, **options):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True,
                                 preexec_fn=die_with_parent, **options)
        self.children[name] = child
        self.ended.append(child.pid)
        return child

    def keep_log(self, end, stream, ready):
        with open(self.log(end), "w", encoding="utf-8") as log:
            for line in stream:
                log.write(line)
                log.flush()
                if line.strip() == "imagod: ready":
                    ready.set()
        ready.set()  # the end of the stream ends the wait, too

    def start_daemons(self):
        waits = {}
        for end in ENDS:
            child = self.start(end, self.inside(
                end, self.imagod, "--config", self.write_configuration(end), "--control", self.control(end),
                "--backend", self.backend, "--state", os.path.join(self.folder, f"state-{end}")), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                errors="backslashreplace")
            waits[end] = threading.Event()
            thread = threading.Thread(target=self.keep_log, args=(end, child.stderr, waits[end]), daemon=True)
            thread.start()
            self.threads.append(thread)
        for end, ready in waits.items():
            if not ready.wait(READY_SECONDS_MAX):
                raise Failure(f"imagod {end} was not ready after {READY_SECONDS_MAX} s; its log: {self.log(end)}")
            if self.children[end].poll() is not None or "imagod: ready" not in self.read_log(end):
                raise Failure(f"imagod {end} did not start: {self.last_line(end)}; its log: {self.log(end)}")

    def read_log(self, end):
        with open(self.log(end), encoding="utf-8") as log:
            return log.read()

    def last_line(self, end):
        return (self.read_log(end).strip().splitlines() or ["it said nothing"])[-1]

    def control_command(self, end, *command, timeout=20):
        return run(self.imagoctl, "--uri", self.control(end), *command, timeout=timeout)

    def bring_up(self):
        self.control_command("west", "up", "net")

    def bring_down(self):
        self.control_command("west", "down", "demo")

    def rekey(self, what):
        self.control_command("west", "rekey", f"--{what}", {"child": "net", "ike": "demo"}[what])

    def status(self):
        return self.control_command("west", "status")

    def status_json(self):
        return json.loads(self.control_command("west", "status", "--json"))

    # -- traffic

    def ping(self, *options):
        return self.inside("west", "ping", "-n", "-q", "-I", INSIDE["west"], "-p", PATTERN.hex(),
                           "-W", "2", *options, INSIDE["east"])

    def ping_once(self):
        run(*self.ping("-c", "1"))

    def start_flood(self, seconds):
        log = self.log("ping")
        command = self.ping("-f", "-i", str(1 / FLOOD_RATE), "-c", str(int(seconds * FLOOD_RATE)))
        with open(log, "w", encoding="utf-8") as file:
            return self.start("ping", command, stdout=file, stderr=subprocess.STDOUT)

    def flood_result(self):
        text = self.read_log("ping")
        counts = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        trip = re.search(r"rtt [^=]*= [\d.]+/([\d.]+)/", text)
        if not counts:
            raise Failure(f"ping gave no result: {self.last_line('ping')}")
        sent, received = map(int, counts.groups())
        return {"sent": sent, "received": received, "lost": sent - received,
                "average_ms": float(trip.group(1)) if trip else 0.0}

    # -- the end

    def tear_down(self):
        """Each thing by itself, so that one that refuses does not keep the others."""
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        for name, child in self.children.items():
            try:
                child.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.stubborn.append(f"{name} (had to be killed)")
                child.kill()
                child.wait()
            if name in ENDS and child.returncode not in (0, -signal.SIGTERM):
                self.stubborn.append(f"{name} (ended with {child.returncode})")
        for thread in self.threads:
            thread.join(1)
        for name in self.namespaces:
            for what in ("state", "policy"):
                said = subprocess.run(["ip", "-n", name, "xfrm", what], capture_output=True, text=True, check=False)
                if said.stdout.strip():
                    self.stubborn.append(f"xfrm {what} in {name}")
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def left_behind(self):
        left = list(self.stubborn)
        left += [f"process {pid}" for pid in self.ended if os.path.exists(f"/proc/{pid}")]
        left += [f"namespace {name}" for name in self.namespaces if os.path.exists(f"/run/netns/{name}")]
        if self.folder and os.path.exists(self.folder):
            left.append(self.folder)
        return left
