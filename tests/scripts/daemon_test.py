#!/usr/bin/env python3
"""imagod's contract (command line, signals, exit codes, service manager) and imagoctl's exit codes."""

import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from libprograms import (IMAGOCTL, IMAGOD, KEPT_MOST, READY, SECONDS_MAX, Program, imagod_command,  # noqa: E402
                         not_built, thread_states)
from libprograms import run as run_checked  # noqa: E402

OWN_NETWORK = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]

CONFIGURATION = """\
connections {
  office {
    local_addrs = 127.0.0.1
    remote_addrs = 127.0.0.2
    local {
      auth = psk
      id = a.example
    }
    remote {
      auth = psk
      id = b.example
    }
    children {
      net {
        remote_ts = 10.2.0.0/24
      }
    }
  }
}
secrets {
  ike-office {
    secret = "not for the log 7f3a"
  }
}
"""


def run(*command):
    return run_checked(*command, is_checked=False)


def missing():
    if reason := not_built(IMAGOD, IMAGOCTL):
        return reason
    return None if run(*OWN_NETWORK, "true").returncode == 0 else "network namespaces are not allowed here"


class Daemon(Program):
    def __init__(self, folder, *options, environment=None):
        # The shell brings lo up and then becomes the daemon.
        shell = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        daemon = imagod_command(f"{folder}/imago.conf", f"unix://{folder}/vici", "fake", *options)
        super().__init__(OWN_NETWORK + shell + daemon, env=dict(os.environ, **(environment or {})))


class WithFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="imago-daemon-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.write(CONFIGURATION)

    def write(self, text):
        with open(f"{self.folder}/imago.conf", "w", encoding="ascii") as file:
            file.write(text)

    def start(self, *options, **more):
        daemon = Daemon(self.folder, *options, **more)
        self.addCleanup(daemon.end)
        daemon.wait_for(READY)
        return daemon

    def imagoctl(self, *arguments):
        return run(IMAGOCTL, "--uri", f"unix://{self.folder}/vici", *arguments)


class CommandLine(WithFolder):
    def test_help_and_version_end_with_0(self):
        for program in (IMAGOD, IMAGOCTL):
            self.assertEqual(run(program, "--help").returncode, 0)
            self.assertRegex(run(program, "--version").stdout, r"^imago(d|ctl) \d+\.\d+\.\d+\n$")

    def test_check_reads_the_configuration_and_ends(self):
        done = run(IMAGOD, "--check", "--config", f"{self.folder}/imago.conf")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("good, 1 connection", done.stdout)

    def test_all_errors_of_a_configuration_are_said_one_a_line(self):
        self.write(CONFIGURATION.replace("remote_ts", "remote_tx").replace("auth = psk", "auth = magic"))
        for mode in (["--check"], ["--backend", "fake"]):
            done = run(IMAGOD, *mode, "--config", f"{self.folder}/imago.conf", "--control",
                       f"unix://{self.folder}/vici")
            self.assertEqual(done.returncode, 2)
            lines = done.stderr.splitlines()
            self.assertEqual(len(lines), 3, done.stderr)
            self.assertTrue(all(re.match(r"imagod: .*imago\.conf:\d+:\d+: ", line) for line in lines), done.stderr)
            self.assertIn("did you mean 'remote_ts'", done.stderr)

    def test_wrong_command_lines_end_with_2(self):
        for arguments in (["--backend", "magic"], ["--log-level", "9"], ["--nonsense"],
                          ["--config", f"{self.folder}/nothing.conf"],
                          ["--config", f"{self.folder}/imago.conf", "--control", "tcp://127.0.0.1:1"]):
            done = run(IMAGOD, *arguments)
            self.assertEqual(done.returncode, 2, (arguments, done.stderr))
            self.assertNotEqual(done.stderr + done.stdout, "")


class Signals(WithFolder):
    def test_sigterm_and_sigint_end_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.start()
            self.assertTrue(os.path.exists(f"{self.folder}/vici"))
            self.assertEqual(daemon.end(number), 0)
            self.assertFalse(os.path.exists(f"{self.folder}/vici"))

    def test_a_socket_left_by_a_killed_daemon_is_taken_over(self):
        self.assertEqual(self.start().end(signal.SIGKILL), -signal.SIGKILL)
        self.assertTrue(os.path.exists(f"{self.folder}/vici"))
        self.start()
        self.assertEqual(self.imagoctl("version").returncode, 0)

    def test_sighup_reads_the_configuration_again_and_an_error_changes_nothing(self):
        daemon = self.start()
        self.write(CONFIGURATION.replace("office", "branch"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("configuration loaded")
        self.assertIn("CHILD_SA config 'net' not found", self.imagoctl("up", "--ike", "office", "net").stderr)
        self.write(CONFIGURATION.replace("remote_ts", "remote_tx"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("configuration refused: .*imago.conf:15:9")
        done = self.imagoctl("up", "--ike", "branch", "nothing")
        self.assertIn("CHILD_SA config 'nothing' not found", done.stderr)
        refused = self.imagoctl("load")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("imago.conf:15:9", refused.stderr)

    def test_the_service_manager_is_told(self):
        path = f"{self.folder}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(SECONDS_MAX)
            manager.bind(path)
            daemon = self.start(environment={"NOTIFY_SOCKET": path})
            self.assertEqual(manager.recv(100), b"READY=1")
            daemon.end()
            self.assertEqual(manager.recv(100), b"STOPPING=1")


class Log(WithFolder):
    def test_json_has_an_object_a_line_and_no_secret_at_any_level(self):
        daemon = self.start("--log-format", "json", "--log-level", "4")
        self.imagoctl("--timeout", "2", "up", "office")
        daemon.end()
        lines = [line for line in daemon.said.splitlines() if line != "imagod: ready"]
        names = [json.loads(line)["name"] for line in lines]
        self.assertIn("control_command_received", names)
        self.assertNotIn("7f3a", daemon.said)

    def test_level_0_is_quiet(self):
        daemon = self.start("--log-level", "0")
        self.imagoctl("version")
        daemon.end()
        self.assertEqual(daemon.said, "imagod: ready\n")


class Privileges(WithFolder):
    """What /proc says about every thread of a daemon that serves."""

    def test_the_daemon_confines_itself_before_it_serves(self):
        daemon = self.start()
        said = daemon.wait_for("privileges dropped.*").group()
        is_confined = "this build has a sanitizer" not in said
        states = thread_states(daemon.process.pid)
        self.assertGreater(len(states), 3)
        for state in states:
            self.assertLessEqual(int(state["CapEff"], 16), KEPT_MOST, state)
            self.assertEqual(state["CapEff"], state["CapPrm"])
            self.assertEqual(int(state["CapInh"], 16) | int(state["CapAmb"], 16), 0, state)
            self.assertEqual(state["NoNewPrivs"], "1", state)
            self.assertEqual(state["Seccomp"], "2" if is_confined else "0", state)
            if os.geteuid() == 0:
                self.assertEqual(int(state["CapBnd"], 16), KEPT_MOST, state)
        if is_confined:
            self.assertRegex(said, r"in a sandbox of \d+ system calls")

    def test_a_confined_daemon_reads_its_files_again_and_ends_cleanly(self):
        daemon = self.start()
        self.write(CONFIGURATION.replace("office", "branch"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("configuration loaded")
        done = self.imagoctl("up", "--ike", "branch", "nothing")
        self.assertIn("CHILD_SA config 'nothing' not found", done.stderr)
        self.assertEqual(daemon.end(), 0)
        self.assertFalse(os.path.exists(f"{self.folder}/vici"))

    def test_no_sandbox_keeps_all_and_says_so_at_every_level(self):
        daemon = self.start("--no-sandbox", "--log-level", "0")
        daemon.wait_for("--no-sandbox is for debugging")
        for state in thread_states(daemon.process.pid):
            self.assertEqual((state["NoNewPrivs"], state["Seccomp"]), ("0", "0"))
        self.assertNotEqual(run(IMAGOD, "--no-sandbox", "--user", "nobody").returncode, 0)

    def test_an_unknown_user_is_a_wrong_command_line(self):
        done = run(IMAGOD, "--user", "no-such-user-of-imago", "--config", f"{self.folder}/imago.conf",
                   "--control", f"unix://{self.folder}/vici")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("user 'no-such-user-of-imago'", done.stderr)

    def test_another_user_from_the_start(self):
        """It must be able to read the configuration itself, and owns the socket's folder that it was made."""
        if os.geteuid() != 0:
            self.skipTest("only root becomes another user")
        os.chmod(self.folder, 0o755)
        os.chmod(f"{self.folder}/imago.conf", 0o600)
        command = [*OWN_NETWORK, "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
                   *imagod_command(f"{self.folder}/imago.conf", f"unix://{self.folder}/run/vici", "fake", "--user",
                                   "nobody")]
        refused = run(*command)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("imago.conf", refused.stderr)
        shutil.chown(f"{self.folder}/imago.conf", "nobody")
        daemon = Program(command)
        self.addCleanup(daemon.end)
        daemon.wait_for(READY)
        for state in thread_states(daemon.process.pid):
            self.assertNotIn("0", state["Uid"].split())
            self.assertEqual(int(state["CapEff"], 16), KEPT_MOST)
        self.assertEqual(run(IMAGOCTL, "--uri", f"unix://{self.folder}/run/vici", "version").returncode, 0)
        self.assertEqual(daemon.end(), 0)
        self.assertFalse(os.path.exists(f"{self.folder}/run/vici"))


class Imagoctl(WithFolder):
    def test_no_daemon_is_exit_code_3(self):
        done = self.imagoctl("status")
        self.assertEqual(done.returncode, 3)
        self.assertIn("no daemon answers", done.stderr)

    def test_wrong_command_lines_are_exit_code_2(self):
        for arguments in ([], ["nonsense"], ["up"], ["status", "--nonsense"], ["--timeout", "-1", "status"]):
            self.assertEqual(self.imagoctl(*arguments).returncode, 2, arguments)
        self.assertEqual(run(IMAGOCTL, "--uri", "http://x", "status").returncode, 2)

    def test_what_the_daemon_refuses_is_exit_code_1(self):
        self.start()
        for arguments in (["up", "nothing"], ["down", "nothing"], ["rekey", "--child", "nothing"], ["kill", "nothing"]):
            done = self.imagoctl(*arguments)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertRegex(done.stderr, r"^imagoctl: .+\n$")

    def test_what_takes_too_long_is_exit_code_4(self):
        daemon = self.start()
        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            done = self.imagoctl("--timeout", "0.2", "status")
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)
        self.assertEqual(done.returncode, 4)

    def test_status_is_a_table_or_json(self):
        self.start()
        self.assertEqual(self.imagoctl("status").stdout, "no IKE SA is up\n")
        self.assertEqual(json.loads(self.imagoctl("status", "--json").stdout), {"ike-sas": []})
        self.assertEqual(json.loads(self.imagoctl("stats").stdout)["ikesas"]["total"], "0")
        self.assertEqual(json.loads(self.imagoctl("version", "--json").stdout)["daemon"], "imagod")

    def test_the_log_can_be_followed_for_a_while(self):
        daemon = self.start()
        done = self.imagoctl("--timeout", "0.3", "log")
        self.assertEqual(done.returncode, 0, done.stderr)
        daemon.end()


if __name__ == "__main__":
    reason = missing()
    if reason:
        print(reason)
        sys.exit(77)
    unittest.main(verbosity=2)
