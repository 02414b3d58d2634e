"""systemd as process 1 of one side of a lab, with imagod installed and nothing else to start. In run-in-uml only."""

import os
import shutil
import subprocess

from libpeers import Imagod, run, wait_until
from libprograms import IMAGOCTL, IMAGOD, thread_states

SYSTEMD = "/usr/lib/systemd/systemd"
UNIT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "etc", "imagod.service")
UNITS = "/run/imago-units"  # all that this systemd knows
CONFIGURATION = "/etc/imago/imago.conf"
LOG = "/run/imagod.log"
BOOT_SECONDS_MAX = 60
# What every service asks for, and imagod.service; nothing stands behind them.
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "lab")
BOOT = f"""
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
export container=imago-lab SYSTEMD_UNIT_PATH={UNITS}
exec {SYSTEMD} --system --unit=lab.target --log-target=console --log-level=warning --show-status=no
"""
# There is no journal to log to. What the unit's own filter refuses ends imagod at once, so that nobody overlooks it.
DROP_IN = f"""[Service]
StandardOutput=append:{LOG}
StandardError=append:{LOG}
SystemCallErrorNumber=kill
"""


def why_not():
    for path, package in ((SYSTEMD, "systemd"), ("/usr/bin/systemctl", "systemd"), ("/usr/bin/nsenter", "util-linux")):
        if not os.access(path, os.X_OK):
            return f"needs {path} (Debian: {package})"
    return None


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def install_programs():
    """Where `cmake --install` puts them, so that the unit's ExecStart=imagod finds it."""
    for program in (IMAGOD, IMAGOCTL):
        shutil.copy(program, os.path.join("/usr/local/bin", os.path.basename(program)))


class Systemd:
    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        shutil.rmtree(UNITS, ignore_errors=True)
        for target in TARGETS:
            write(f"{UNITS}/{target}.target", "[Unit]\nDefaultDependencies=no\n")
        self.process = None

    @staticmethod
    def add_service(name, text, drop_in):
        write(f"{UNITS}/{name}.service", text)
        write(f"{UNITS}/{name}.service.d/lab.conf", drop_in)

    def boot(self):
        self.process = subprocess.Popen(
            self.lab.inside(self.name, "unshare", "--pid", "--mount", "--cgroup", "--uts", "--ipc", "--fork",
                            "--kill-child=KILL", "--mount-proc", "bash", "-c", BOOT), stdin=subprocess.DEVNULL)
        wait_until(lambda: self.is_up() or self.process.poll() is not None, "systemd is up", BOOT_SECONDS_MAX)
        assert self.process.poll() is None, f"systemd ended with {self.process.returncode}"

    def pid(self):
        """Of process 1 of its own namespace, as it is called here."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        return int(children[0]) if children else None

    def is_up(self):
        return self.pid() and os.path.exists("/run/systemd/private") and \
            self.systemctl("is-active", "lab.target", is_checked=False).returncode == 0

    def run(self, *command, is_checked=True):
        return run("nsenter", "--target", str(self.pid()), "--pid", "--mount", "--net", *command, is_checked=is_checked)

    def systemctl(self, *arguments, is_checked=True):
        return self.run("systemctl", "--no-pager", *arguments, is_checked=is_checked)

    def property(self, unit, key):
        return self.systemctl("show", "--value", "--property", key, unit).stdout.strip()

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()  # unshare takes its child along, and process 1 its namespace
        if self.process:
            self.process.wait()


class ServiceImagod(Imagod):
    """imagod as imagod.service runs it: its own places, its own options."""

    def __init__(self, lab, name, text, systemd):
        super().__init__(lab, name, text)
        self.systemd = systemd
        self.vici = "/run/imago/vici"
        self.configure(text)
        with open(UNIT, encoding="utf-8") as file:
            systemd.add_service("imagod", file.read(), DROP_IN)

    @staticmethod
    def configure(text):
        write(CONFIGURATION, text)

    def start(self):
        self.systemd.systemctl("start", "imagod")
        return self

    def stop(self):
        if self.systemd.process and self.systemd.process.poll() is None:
            self.systemd.systemctl("stop", "imagod", is_checked=False)

    def log(self):
        if not os.path.exists(LOG):
            return ""
        with open(LOG, encoding="utf-8", errors="backslashreplace") as file:
            return file.read()

    def main_pid(self):
        return int(self.systemd.property("imagod", "MainPID"))

    def state(self):
        return self.systemd.property("imagod", "ActiveState")

    def threads(self):
        """/proc's status of each of its threads."""
        return thread_states(self.main_pid(), os.path.join("/proc", str(self.systemd.pid()), "root", "proc"))
