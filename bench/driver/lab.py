"""A responder and a load generator in two network namespaces, each on a core of its own."""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, os.path.join(ROOT, "python", "imago"))

from libprograms import READY, Program, die_with_parent, run  # noqa: E402
from vici import Vici  # noqa: E402

CHARON = "/usr/sbin/charon-systemd"
PLUGINS = ("random nonce openssl aes sha1 sha2 hmac kdf gcm pem pkcs1 pkcs8 x509 pubkey constraints "
           "socket-default kernel-netlink vici")
RESPONDER, GENERATOR = "10.63.0.1", "10.63.0.2"
CLIENTS, FLOODERS = "10.64.0.0/12", "10.80.0.0/12"
SECRET = "a secret of the benchmark alone"
PHASE_SECONDS_MAX = 1800
TICKS = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    pass


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def enter_user_namespace():
    """Without root: a user namespace of our own, in which we may make network namespaces."""
    if os.geteuid() == 0:
        return
    script = 'mount -t tmpfs tmpfs /run && exec "$@"'
    os.execvp("unshare", ["unshare", "-r", "-n", "-m", "sh", "-c", script, "sh", sys.executable, *sys.argv])


def cores():
    """The responder's and the generator's; the same one where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


CONFIGURATION = """\
connections {{
  bench {{
    version = 2
    local_addrs = {address}
    remote_addrs = %any
    proposals = aes128gcm16-prfsha256-x25519,aes128gcm16-prfsha256-ecp256
    unique = never
    local {{
      auth = {auth}
      id = gateway.bench.test
      {certificate}
    }}
    remote {{
      auth = {auth}
      id = *.bench.test
    }}
    children {{
      net {{
        esp_proposals = aes128gcm16
        local_ts = 192.168.0.0/16
        remote_ts = 10.128.0.0/9
      }}
    }}
  }}
}}
{authorities}
secrets {{
  {secret}
}}
"""

STRONGSWAN = """\
charon-systemd {{
  load = {plugins}
  install_routes = no
  install_virtual_ip = no
  ikesa_table_size = 65536
  ikesa_table_segments = 16
  retransmit_tries = 0
  {settings}
  plugins {{ vici {{ socket = unix://{vici} }} }}
  journal {{ default = -1 }}
  filelog {{ l {{
    path = stderr
    flush_line = yes
    default = 0
    job = 1
  }} }}
}}
"""


class Lab:
    """Namespaces, a wire between them, a folder; all gone with it."""

    count = 0

    def __init__(self, build):
        Lab.count += 1
        self.build = os.path.abspath(build)
        self.tag = f"imago-bench-{os.getpid()}-{Lab.count}"
        self.folder = tempfile.mkdtemp(prefix=f"{self.tag}-")
        self.spaces = {end: f"{self.tag}-{end}" for end in ("responder", "generator")}
        self.responder_core, self.generator_core = cores()
        self.null_kernel = None
        try:
            self.make_network()
        except BaseException:
            self.remove()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def make_network(self):
        for space in self.spaces.values():
            run("ip", "netns", "add", space)
        ends = list(self.spaces.values())
        run("ip", "link", "add", "eth0", "mtu", "9000", "netns", ends[0], "type", "veth",
            "peer", "name", "eth0", "mtu", "9000", "netns", ends[1])
        for end, address in (("responder", RESPONDER), ("generator", GENERATOR)):
            inside = ("ip", "-n", self.spaces[end])
            run(*inside, "link", "set", "lo", "up")
            run(*inside, "address", "add", f"{address}/24", "dev", "eth0")
            run(*inside, "link", "set", "eth0", "up")
            self.set_kernel(end, "net/ipv4/conf/all/rp_filter", 0)
            self.set_kernel(end, "net/ipv4/conf/eth0/rp_filter", 0)
        # Everything in these prefixes is the generator's; what is spoofed comes back to it and ends.
        for prefix in (CLIENTS, FLOODERS):
            run("ip", "-n", self.spaces["generator"], "route", "add", "local", prefix, "dev", "lo")
        run("ip", "-n", self.spaces["responder"], "route", "add", "default", "via", GENERATOR)

    def set_kernel(self, end, name, value):
        run("ip", "netns", "exec", self.spaces[end], "sh", "-c", f"echo {value} > /proc/sys/{name}", is_checked=False)

    def inside(self, end, core, *command):
        return ["ip", "netns", "exec", self.spaces[end], "taskset", "-c", str(core), *command]

    def program(self, *path):
        return os.path.join(self.build, *path)

    def remove(self):
        for space in self.spaces.values():
            run("ip", "netns", "delete", space, is_checked=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def credentials(self, count):
        """A folder with certificates for a gateway and `count` clients; made once a size."""
        folder = os.path.join(self.folder, f"credentials-{count}")
        if not os.path.exists(folder):
            say(f"making {count} certificates")
            run(self.program("bench", "imago-load"), "--credentials", folder, "--make-credentials", str(count),
                timeout=600)
        return folder


class Responder:
    """A daemon that answers; what it costs."""

    def __init__(self, lab, credentials=None, cores=None, settings=""):
        self.lab, self.settings = lab, settings
        self.cores = cores or str(lab.responder_core)
        self.folder = tempfile.mkdtemp(dir=lab.folder)
        self.vici = os.path.join(self.folder, "vici")
        self.configuration = os.path.join(self.folder, "swanctl.conf")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(self.text(credentials))
        self.program = None
        self.pid = None

    def text(self, credentials):
        if not credentials:
            return CONFIGURATION.format(address=RESPONDER, auth="psk", certificate="", authorities="",
                                        secret=f'ike {{ secret = "{SECRET}" }}')
        for kind in ("x509", "x509ca", "private"):
            shutil.copytree(os.path.join(credentials, kind), os.path.join(self.folder, kind))
        return CONFIGURATION.format(
            address=RESPONDER, auth="pubkey", certificate=f"certs = {self.folder}/x509/gateway.pem",
            authorities=f"authorities {{ bench {{ cacert = {self.folder}/x509ca/ca.pem }} }}",
            secret=f"private-gateway {{ file = {self.folder}/private/gateway.key }}")

    def __enter__(self):
        try:
            self.start()
            self.pid = self.program.process.pid
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.program:
            # Nobody waits for Deletes to thousands of peers that are no more.
            self.program.process.kill()
            self.program.end()

    def cpu_seconds(self):
        """Of all its threads, in nanosecond steps (utime and stime tick with 10 ms)."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def rss_kb(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))

    def is_running(self):
        return self.program.is_running()

    def client(self):
        return Vici(self.vici)


class Imagod(Responder):
    name = "imagod"

    def start(self):
        command = [self.lab.program("daemon", "imagod"), "--config", self.configuration, "--control",
                   f"unix://{self.vici}", "--backend", "fake", "--log-level", "0", *self.settings.split()]
        self.program = Program(self.lab.inside("responder", self.cores, *command), start_new_session=True)
        self.program.wait_for(READY, 20)


class Charon(Responder):
    """Debian's, over a kernel that does nothing (bench/load/null_xfrm.c)."""

    name = "charon"

    def start(self):
        settings = os.path.join(self.folder, "strongswan.conf")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(STRONGSWAN.format(plugins=PLUGINS, vici=self.vici, settings=self.settings))
        environment = {**os.environ, "STRONGSWAN_CONF": settings, "SWANCTL_DIR": self.folder}
        kernel = self.lab.program("bench", "null_xfrm.so")
        command = ["env", f"LD_PRELOAD={kernel}", CHARON]
        self.program = Program(self.lab.inside("responder", self.cores, *command), env=environment,
                               start_new_session=True)
        try:
            self.program.wait_for(r"spawning \d+ worker threads")  # the control socket is there
        except AssertionError as why:
            raise Failure(f"charon did not start: {why}") from why
        run("swanctl", "--load-all", "--uri", f"unix://{self.vici}", env=environment)


def rivals():
    """The responders of this host, ours first."""
    found = [Imagod]
    if os.access(CHARON, os.X_OK) and shutil.which("swanctl"):
        found.append(Charon)
    else:
        say("charon is not here (Debian: charon-systemd, strongswan-swanctl): no rival beside")
    return found


class Load:
    """imago-load, phase by phase."""

    def __init__(self, lab, *options, credentials=None, port=500):
        command = [lab.program("bench", "imago-load"), "--to", RESPONDER, "--port", str(port), "--source-port", "500",
                   "--clients", CLIENTS, "--flooders", FLOODERS, "--stepwise", "--json", *map(str, options)]
        if credentials:
            command += ["--credentials", credentials]
        self.process = subprocess.Popen(lab.inside("generator", lab.generator_core, *command), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=None, text=True, preexec_fn=die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def phase(self, name):
        """What the phase that ends next did; it pauses after it."""
        ready, _, _ = select.select([self.process.stdout], [], [], PHASE_SECONDS_MAX)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise Failure(f"imago-load ended before '{name}', see above")
        told = json.loads(line)
        if told["phase"] != name:
            raise Failure(f"imago-load tells '{told['phase']}', not '{name}'")
        return told

    def waited_seconds(self):
        """How long it was ready to run and did not get its core, which it shares with nobody of ours."""
        with open(f"/proc/{self.process.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def quiet_seconds(responder, seconds):
    """CPU seconds of a responder that is left alone."""
    begun = responder.cpu_seconds()
    time.sleep(seconds)
    return responder.cpu_seconds() - begun
