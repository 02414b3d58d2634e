"""Where the kernel's ESP is: on this host, else in user-mode-linux."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.path.join(ROOT, "tests", "lab", "run-in-uml")
GUEST_SECONDS_MAX = 900
SKIPPED = 77


def has_esp():
    """Does this host's kernel take an ESP SA? Tried in a network namespace that goes at once."""
    name = f"imago-demo-{os.getpid()}-probe"
    quiet = {"capture_output": True, "check": False, "stdin": subprocess.DEVNULL}
    if subprocess.run(["ip", "netns", "add", name], **quiet).returncode != 0:
        return False
    try:
        key = "0x" + "00" * 20
        return subprocess.run(["ip", "-n", name, "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "proto",
                               "esp", "spi", "0x1000", "mode", "tunnel", "aead", "rfc4106(gcm(aes))", key, "128"],
                              **quiet).returncode == 0
    finally:
        subprocess.run(["ip", "netns", "delete", name], **quiet)


def go_where_it_is(logs):
    """Returns on a kernel that has ESP; elsewhere this program goes on in one, or ends as skipped."""
    reason = None
    if os.geteuid() != 0:
        reason = "needs root"
    elif not has_esp():
        check = subprocess.run([RUN, "--check"], capture_output=True, text=True, check=False)
        if check.returncode == 0:
            print("demo: this host's kernel has no ESP: in user-mode-linux", file=sys.stderr, flush=True)
            os.makedirs(logs, exist_ok=True)
            os.execv(RUN, [RUN, "--seconds", str(GUEST_SECONDS_MAX), "--writable", os.path.abspath(logs), "--",
                           sys.executable, *sys.argv])
        said = check.stderr.strip().splitlines()
        reason = f"this host's kernel has no ESP, and {said[-1] if said else 'run-in-uml cannot be here'}"
    if reason:
        print(f"demo: skipped: {reason}", file=sys.stderr)
        sys.exit(SKIPPED)
