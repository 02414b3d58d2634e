#!/usr/bin/env python3
"""Debian's unmodified swanctl against a real imagod.

Two imagod in two network namespaces joined by veth. East has everything from its file; west begins
empty and gets all it knows from swanctl, which then does what an operator would do.
"""

import os
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from libprograms import IMAGOCTL, IMAGOD, READY, Program, imagod_command, not_built, run, wait_until  # noqa: E402

WIRE = {"west": "192.0.2.1", "east": "192.0.2.2"}
INSIDE = {"west": "10.1.0.1", "east": "10.2.0.1"}
NETWORK = {"west": "10.1.0.0/24", "east": "10.2.0.0/24"}

EAST = """\
connections {{
  site {{
    local_addrs = {wire[east]}
    remote_addrs = {wire[west]}
    local {{
      auth = pubkey
      id = east.example
      certs = {folder}/east.pem
    }}
    remote {{
      auth = pubkey
      id = west.example
      cacerts = {folder}/ca.pem
    }}
    children {{
      net {{
        local_ts = {network[east]}
        remote_ts = {network[west]}
        esp_proposals = aes128gcm16-x25519
      }}
    }}
  }}
}}
secrets {{
  private-east {{
    file = {folder}/east.key
  }}
}}
"""
WEST = """\
connections {{
  mine {{
    local_addrs = {wire[west]}
    remote_addrs = {wire[east]}
    local {{
      auth = pubkey
      id = west.example
      certs = west.pem
    }}
    remote {{
      auth = pubkey
      id = east.example
    }}
    children {{
      net {{
        local_ts = {network[west]}
        remote_ts = {network[east]}
        esp_proposals = aes128gcm16-x25519
      }}
    }}
  }}
{more}}}
secrets {{
  ike-nobody {{
    id = nobody.example
    secret = "for nobody at all"
  }}
}}
"""
# A connection that comes and goes; and one whose name the file of the daemon has taken.
OTHER = """\
  other {
    remote_addrs = 192.0.2.77
    local {
      auth = psk
    }
    remote {
      auth = psk
      id = nobody.example
    }
    children {
      host {
      }
    }
  }
"""
OWNED = OTHER.replace("other", "owned")
WEST_FILE = "connections {\n" + OWNED + "}\n"


def missing():
    if os.geteuid() != 0:
        return "network namespaces want root"
    if reason := not_built(IMAGOD, IMAGOCTL):
        return reason
    for tool in ("swanctl", "ip", "ping", "openssl"):
        if not shutil.which(tool):
            return f"the program '{tool}' is missing; ./dev setup installs it"
    if run("unshare", "--net", "true", is_checked=False).returncode != 0:
        return "network namespaces are not allowed here"
    return None if os.path.exists("/dev/net/tun") else "there is no /dev/net/tun"


class Host:
    """Namespaces, certificates and the two daemons."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="imago-swanctl-")
        self.daemons = {}

    def namespace(self, end):
        return f"imago-swanctl-{os.getpid()}-{end}"

    def uri(self, end):
        return f"unix://{self.folder}/{end}.vici"

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text.format(wire=WIRE, network=NETWORK, folder=self.folder, more="")
                       if "{wire" in text else text)

    def make_network(self):
        for end in WIRE:
            run("ip", "netns", "add", self.namespace(end))
        run("ip", "link", "add", "eth0", "netns", self.namespace("west"), "type", "veth",
            "peer", "name", "eth0", "netns", self.namespace("east"))
        for end in WIRE:
            inside = ("ip", "-n", self.namespace(end))
            run(*inside, "link", "set", "lo", "up")
            run(*inside, "address", "add", f"{WIRE[end]}/24", "dev", "eth0")
            run(*inside, "address", "add", f"{INSIDE[end]}/32", "dev", "lo")
            run(*inside, "link", "set", "eth0", "up")

    def make_certificates(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/O=Imago test/CN=CA", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.path("ca.key"), "-out", self.path("ca.pem"))
        for end in WIRE:
            run("openssl", "req", "-new", *key, "-subj", f"/O=Imago test/CN={end}.example",
                "-keyout", self.path(f"{end}.key"), "-out", self.path(f"{end}.csr"))
            self.write(f"{end}.ext", f"subjectAltName=DNS:{end}.example\nbasicConstraints=critical,CA:FALSE\n")
            run("openssl", "x509", "-req", "-in", self.path(f"{end}.csr"), "-CA", self.path("ca.pem"), "-CAkey",
                self.path("ca.key"), "-CAcreateserial", "-days", "1", "-extfile", self.path(f"{end}.ext"),
                "-out", self.path(f"{end}.pem"))
        for name, what in (("x509", "west.pem"), ("x509ca", "ca.pem"), ("private", "west.key")):
            os.makedirs(self.path("swanctl", name), exist_ok=True)
            shutil.copy(self.path(what), self.path("swanctl", name, what))

    def start_daemon(self, end):
        self.daemons[end] = Program(
            ["ip", "netns", "exec", self.namespace(end),
             *imagod_command(self.path(f"{end}.conf"), self.uri(end), "user-esp")])

    def wait_until_ready(self):
        for daemon in self.daemons.values():
            daemon.wait_for(READY)

    def end(self):
        codes = {end: daemon.end() for end, daemon in self.daemons.items()}
        for end in WIRE:
            run("ip", "netns", "delete", self.namespace(end), is_checked=False)
        return codes

    def listener(self, *arguments):
        return Program(["stdbuf", "-oL", "swanctl", *arguments, "--uri", self.uri("west")])

    def swanctl(self, *arguments, is_checked=True):
        environment = dict(os.environ, SWANCTL_DIR=self.path("swanctl"), LC_ALL="C")
        return run("swanctl", *arguments, "--uri", self.uri("west"), is_checked=is_checked, env=environment)

    def load_all(self, more="", is_checked=True):
        text = WEST.format(wire=WIRE, network=NETWORK, more=more)
        self.write("swanctl/swanctl.conf", text)
        return self.swanctl("--load-all", "--file", self.path("swanctl", "swanctl.conf"), is_checked=is_checked)

    def ping(self):
        return run("ip", "netns", "exec", self.namespace("west"), "ping", "-n", "-c", "3", "-i", "0.05", "-W", "5",
                   "-I", INSIDE["west"], INSIDE["east"])


class Swanctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host()
        cls.addClassCleanup(shutil.rmtree, cls.host.folder, ignore_errors=True)
        cls.addClassCleanup(cls.host.end)
        cls.host.make_network()
        cls.host.make_certificates()
        cls.host.write("east.conf", EAST)
        cls.host.write("west.conf", WEST_FILE)
        for end in WIRE:
            cls.host.start_daemon(end)
        cls.host.wait_until_ready()
        cls.host.load_all()

    def tearDown(self):
        self.host.swanctl("--terminate", "--ike", "mine", "--timeout", "5", is_checked=False)

    def initiate(self):
        return self.host.swanctl("--initiate", "--child", "net", "--timeout", "10")

    def counters(self):
        """Of the one Child SA: spi, packets in and out."""
        text = self.host.swanctl("--list-sas").stdout
        inbound = re.search(r"in\s+([0-9a-f]{8}).*?(\d+) bytes,\s*(\d+) packets", text)
        outbound = re.search(r"out\s+([0-9a-f]{8}).*?(\d+) bytes,\s*(\d+) packets", text)
        self.assertTrue(inbound and outbound, text)
        return inbound.group(1), int(inbound.group(3)), int(outbound.group(3))

    def test_version_and_stats(self):
        self.assertIn("imagod", self.host.swanctl("--version", "--daemon").stdout)
        stats = self.host.swanctl("--stats").stdout
        for part in ("uptime:", "worker threads:", "IKE_SAs: 0 total, 0 half-open", "mallinfo:", "vici"):
            self.assertIn(part, stats)

    def test_load_all_reports_what_it_loaded_and_can_be_repeated(self):
        for _ in range(2):
            text = self.host.load_all().stdout
            self.assertRegex(text, r"loaded certificate from '.*west\.pem'")
            self.assertRegex(text, r"loaded certificate from '.*ca\.pem'")
            self.assertIn("loaded ike secret 'ike-nobody'", text)
            self.assertIn("loaded connection 'mine'", text)
            self.assertIn("successfully loaded 1 connections, 0 unloaded", text)
        self.assertEqual(len(re.findall(r"subject: ", self.host.swanctl("--list-certs").stdout)), 2)

    def test_a_connection_that_left_the_file_is_unloaded(self):
        self.assertIn("successfully loaded 2 connections", self.host.load_all(OTHER).stdout)
        self.assertRegex(self.host.swanctl("--list-conns").stdout, r"(?m)^other: IKEv2")
        self.assertIn("successfully loaded 1 connections, 1 unloaded", self.host.load_all().stdout)
        self.assertNotRegex(self.host.swanctl("--list-conns").stdout, r"(?m)^other: IKEv2")

    def test_what_the_daemons_file_loaded_stays_the_files(self):
        done = self.host.load_all(OWNED, is_checked=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("belongs to the configuration file", done.stdout + done.stderr)
        self.assertRegex(self.host.swanctl("--list-conns").stdout, r"(?m)^owned: IKEv2")

    def test_a_bad_option_is_named(self):
        done = self.host.load_all(OTHER.replace("remote_addrs", "nonsense"), is_checked=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("unknown option: nonsense, config discarded", done.stdout + done.stderr)

    def test_list_conns_and_certs(self):
        conns = self.host.swanctl("--list-conns").stdout
        self.assertRegex(conns, r"mine: IKEv2, no reauthentication, rekeying every 14400s")
        for part in (WIRE["west"], WIRE["east"], "id: west.example", "net: TUNNEL, rekeying every 3600s",
                     NETWORK["east"], "local public key authentication"):
            self.assertIn(part, conns)
        certs = self.host.swanctl("--list-certs").stdout
        self.assertIn('"O=Imago test, CN=west.example"', certs)
        self.assertIn("has private key", certs)
        self.assertIn("List of X.509 CA Certificates", certs)

    def test_initiate_and_terminate_show_their_log(self):
        text = self.initiate().stdout
        self.assertRegex(text, r"\[IKE\].*established")
        self.assertIn("initiate completed successfully", text)
        sas = self.host.swanctl("--list-sas").stdout
        for part in ("mine: #", "ESTABLISHED, IKEv2", "'west.example' @ 192.0.2.1", "'east.example' @ 192.0.2.2",
                     "INSTALLED, TUNNEL", "ESP:AES_GCM_16-128", f"local  {NETWORK['west']}"):
            self.assertIn(part, sas)
        text = self.host.swanctl("--terminate", "--ike", "mine", "--timeout", "5").stdout
        self.assertIn("terminate completed successfully", text)
        self.assertEqual(self.host.swanctl("--list-sas").stdout.strip(), "")

    def test_traffic_is_counted(self):
        self.initiate()
        _, before_in, before_out = self.counters()
        self.host.ping()
        _, after_in, after_out = self.counters()
        self.assertEqual((after_in - before_in, after_out - before_out), (3, 3))

    def test_rekey_of_both_kinds(self):
        self.initiate()
        before = self.counters()[0]
        self.assertIn("rekey completed successfully", self.host.swanctl("--rekey", "--child", "net").stdout)
        wait_until(lambda: self.counters()[0] != before, "a new Child SA")
        self.host.ping()
        number = self.ike_sa_number()
        self.assertIn("rekey completed successfully", self.host.swanctl("--rekey", "--ike", "mine").stdout)
        wait_until(lambda: self.ike_sa_number() != number, "a new IKE SA")
        self.host.ping()

    def ike_sa_number(self):
        numbers = re.findall(r"mine: #(\d+), ESTABLISHED", self.host.swanctl("--list-sas").stdout)
        return numbers[-1] if numbers else None

    def test_log_and_events_are_followed(self):
        log, monitor = self.host.listener("--log"), self.host.listener("--monitor-sa")
        self.addCleanup(log.end)
        self.addCleanup(monitor.end)
        # They serve once an SA shows; as often as it takes, since nothing says when they registered.
        for _ in range(20):
            self.initiate()
            self.host.swanctl("--terminate", "--ike", "mine", "--timeout", "5")
            if log.find("established") and monitor.find("mine"):
                break
        log.wait_for(r"\[IKE\].*established")
        monitor.wait_for(r"(?s)mine: #\d+")

    def test_failures_are_said(self):
        done = self.host.swanctl("--initiate", "--child", "nothing", is_checked=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("CHILD_SA config 'nothing' not found", done.stdout + done.stderr)
        done = self.host.swanctl("--terminate", "--ike", "nothing", is_checked=False)
        self.assertIn("no matching SAs to terminate found", done.stdout + done.stderr)
        done = self.host.swanctl("--rekey", "--ike", "nothing", is_checked=False)
        self.assertIn("no matching SAs to rekey found", done.stdout + done.stderr)

    def test_the_other_lists(self):
        self.assertIn("CURVE_25519", self.host.swanctl("--list-algs").stdout)
        self.assertEqual(self.host.swanctl("--list-pools").stdout, "")
        self.initiate()
        # As charon: policies that stand by themselves, not those of Child SAs.
        self.assertEqual(self.host.swanctl("--list-pols").stdout.strip(), "")
        self.host.swanctl("--install", "--child", "net")
        self.assertRegex(self.host.swanctl("--list-pols").stdout, r"mine/net, TUNNEL")
        self.host.swanctl("--uninstall", "--child", "net")
        self.assertEqual(self.host.swanctl("--list-pols").stdout.strip(), "")

    def test_imagoctl_and_swanctl_see_the_same(self):
        run(IMAGOCTL, "--uri", self.host.uri("west"), "up", "net")
        number = self.ike_sa_number()
        self.assertIn(f"mine #{number}  ESTABLISHED", run(IMAGOCTL, "--uri", self.host.uri("west"), "status").stdout)
        run(IMAGOCTL, "--uri", self.host.uri("west"), "kill", "mine")
        wait_until(lambda: self.host.swanctl("--list-sas").stdout.strip() == "", "no SA is listed")

    def test_reload_settings_keeps_what_came_over_the_socket(self):
        self.host.swanctl("--reload-settings")
        self.assertRegex(self.host.swanctl("--list-conns").stdout, r"(?m)^mine: IKEv2")


class CleanEnd(unittest.TestCase):
    def test_sigterm_ends_with_0_and_removes_the_socket(self):
        host = Host()
        self.addCleanup(shutil.rmtree, host.folder, ignore_errors=True)
        host.make_network()
        host.write("west.conf", WEST_FILE)
        host.start_daemon("west")
        host.wait_until_ready()
        self.assertTrue(os.path.exists(host.path("west.vici")))
        self.assertEqual(host.end(), {"west": 0})
        self.assertFalse(os.path.exists(host.path("west.vici")))


if __name__ == "__main__":
    reason = missing()
    if reason:
        print(reason)
        sys.exit(77)
    unittest.main(verbosity=2)
