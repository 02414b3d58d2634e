"""How the scripts that test whole programs start them, hear them and end them. Standard library only."""

import ctypes
import os
import re
import signal
import subprocess
import threading
import time

BUILD = os.environ.get("IMAGO_BUILD_DIR") or os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "build", "dev")
IMAGOD = os.path.join(BUILD, "daemon", "imagod")
IMAGOCTL = os.path.join(BUILD, "tools", "imagoctl")
READY = "(?m)^imagod: ready$"
SECONDS_MAX = 30
PR_SET_PDEATHSIG = 1
KEPT_MOST = 1 << 10 | 1 << 12  # CAP_NET_BIND_SERVICE, CAP_NET_ADMIN


def not_built(*programs):
    """Which of them is not there, as a sentence; None: they all are."""
    for program in programs:
        if not os.access(program, os.X_OK):
            return f"{program} is not built"
    return None


def run(*command, is_checked=True, timeout=SECONDS_MAX, **options):
    """Runs it to its end, with nothing to read."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, **options)
    if is_checked and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def wait_until(is_true, what, seconds_max=15):
    """For what nobody tells: asks again and again. What is_true() found."""
    deadline = time.monotonic() + seconds_max
    while not (found := is_true()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max} s: {what}")
        time.sleep(0.02)
    return found


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """Runs until it is ended; what it says, line by line, can be waited for. It ends with this one."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="backslashreplace",
                                        preexec_fn=die_with_parent, **options)
        self.said = ""
        self.has_ended = False
        self.changed = threading.Condition()
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.process.stdout:
            with self.changed:
                self.said += line
                self.changed.notify_all()
        with self.changed:
            self.has_ended = True
            self.changed.notify_all()

    def find(self, pattern):
        with self.changed:
            return re.search(pattern, self.said)

    def wait_for(self, pattern, seconds_max=SECONDS_MAX):
        """Until it has said so; fails when it ends without."""
        with self.changed:
            self.changed.wait_for(lambda: self.has_ended or re.search(pattern, self.said), seconds_max)
            found = re.search(pattern, self.said)
            if not found:
                how = "it ended" if self.has_ended else f"{seconds_max} s passed"
                raise AssertionError(f"no {pattern!r}, {how}:\n{self.said}")
            return found

    def is_running(self):
        return self.process.poll() is None

    def end(self, number=signal.SIGTERM, seconds_max=SECONDS_MAX):
        """Its exit code. More than once is the same as once."""
        if self.is_running():
            self.process.send_signal(number)
        try:
            code = self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.listener.join(seconds_max)
        self.process.stdout.close()
        return code


def imagod_command(configuration, control, backend, *options):
    return [IMAGOD, "--config", configuration, "--control", control, "--backend", backend, *options]


def thread_states(pid, proc="/proc"):
    """/proc's status of every thread of that process, as dictionaries."""
    states = []
    for thread in os.listdir(f"{proc}/{pid}/task"):
        with open(f"{proc}/{pid}/task/{thread}/status", encoding="utf-8") as file:
            states.append(dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line))
    return states
