#!/usr/bin/env python3
"""Tries what imagod has no need of and says how each attempt ended, as one JSON object: {attempt: errno, 0 where it was done}.

systemd_cases.py runs it as etc/imagod.service would run imagod, and once more without. Nothing is harmed
where nothing is refused: what is asked for is so already, or it lies in a throw-away root.
"""

import ctypes
import json
import mmap
import os
import socket
import stat
import sys
import time

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PER_LINUX32 = 8
PTRACE_TRACEME = 0
KEYCTL, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING = 250, 0, -3  # x86_64
WRITTEN_AND_EXECUTED = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC

C = ctypes.CDLL(None, use_errno=True)


def called(returned):
    if returned == -1:
        raise OSError(ctypes.get_errno(), "refused")


def in_child(action):
    """What changes the process itself is tried by another one."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except OSError as problem:
            os._exit(problem.errno)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    code = 255 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if code:
        raise OSError(code, "refused")


def open_for(path, how):
    os.close(os.open(path, how))


def writes(path):
    return lambda: open_for(path, os.O_WRONLY | os.O_CREAT)


def changes(path):
    return lambda: open_for(path, os.O_WRONLY)


def own_file(name):
    path = os.path.join(os.environ["RUNTIME_DIRECTORY"], name)
    open_for(path, os.O_WRONLY | os.O_CREAT)
    return path


def makes_folder(path):
    def attempt():
        os.mkdir(path)
        os.rmdir(path)
    return attempt


def take_time():
    now = time.clock_gettime(time.CLOCK_REALTIME)
    time.clock_settime(time.CLOCK_REALTIME, now)


def see_init():
    os.stat("/proc/1/status")


ATTEMPTS = {
    "a file in /etc": writes("/etc/imago-probe"),
    "a file in /var/lib": writes("/var/lib/imago-probe"),
    "a file in /tmp of all": lambda: os.stat("/tmp/imago-of-all"),
    "what is in /root": lambda: os.listdir("/root"),
    "kernel.core_pattern": changes("/proc/sys/kernel/core_pattern"),
    "vm.overcommit_memory": changes("/proc/sys/vm/overcommit_memory"),
    "sysrq-trigger": changes("/proc/sysrq-trigger"),
    "a cgroup": makes_folder("/sys/fs/cgroup/imago-probe"),
    "the kernel's log": lambda: open_for("/dev/kmsg", os.O_RDONLY),
    "the process 1": see_init,
    "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close(),
    "a user namespace": lambda: in_child(lambda: called(C.unshare(CLONE_NEWUSER))),
    "a network namespace": lambda: in_child(lambda: called(C.unshare(CLONE_NEWNET))),
    "mount": lambda: in_child(lambda: called(C.mount(b"none", b"/mnt", b"tmpfs", 0, None))),
    "the host's name": lambda: called(C.sethostname(os.uname().nodename.encode(), len(os.uname().nodename))),
    "the clock": take_time,
    "setuid": lambda: in_child(lambda: os.setuid(1)),
    "chown": lambda: os.chown(own_file("owned"), 1, 1),
    "a set-user-ID file": lambda: os.chmod(own_file("setuid"), stat.S_ISUID | 0o700),
    "ptrace": lambda: in_child(lambda: called(C.ptrace(PTRACE_TRACEME, 0, 0, 0))),
    "memory to write and to execute": lambda: mmap.mmap(-1, mmap.PAGESIZE, prot=WRITTEN_AND_EXECUTED).close(),
    "real-time scheduling": lambda: in_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    "another personality": lambda: in_child(lambda: called(C.personality(PER_LINUX32))),
    "a keyring": lambda: called(C.syscall(KEYCTL, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1)),
    "another's device": changes("/dev/imago-probe"),
    # And what imagod must be able to do.
    "needed: a file in its own folder": lambda: own_file("own"),
    "needed: net.core.xfrm_acq_expires": changes("/proc/sys/net/core/xfrm_acq_expires"),
    "needed: /dev/net/tun": lambda: open_for("/dev/net/tun", os.O_RDWR),
    "needed: a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6).close(),
    "needed: a UDP socket": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close(),
}


def outcome(attempt):
    try:
        attempt()
    except OSError as problem:
        return problem.errno
    return 0


def main():
    json.dump({name: outcome(attempt) for name, attempt in ATTEMPTS.items()}, sys.stdout)
    print(flush=True)


if __name__ == "__main__":
    main()
