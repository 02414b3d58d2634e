"""What a process and the kernel's IPsec say to each other, seen on an nlmon device and put into words. Keys are not shown."""

import ipaddress
import select
import socket
import struct

from libpeers import run
from libtraffic import enter_and

NETLINK_XFRM = 6
REQUEST = 1  # NLM_F_REQUEST
SEQUENCE_MAX = 1 << 20  # imagod counts from 1; ip(8) begins with the time of day
TYPES = ("NEWSA DELSA GETSA NEWPOLICY DELPOLICY GETPOLICY ALLOCSPI ACQUIRE EXPIRE UPDPOLICY UPDSA POLEXPIRE FLUSHSA "
         "FLUSHPOLICY NEWAE GETAE REPORT MIGRATE NEWSADINFO GETSADINFO NEWSPDINFO GETSPDINFO MAPPING").split()
ATTRIBUTES = {4: "ENCAP", 5: "TMPL", 9: "LTIME_VAL", 10: "REPLAY_VAL", 11: "REPLAY_THRESH", 12: "ETIMER_THRESH",
              15: "LASTUSED", 18: "ALG_AEAD", 20: "ALG_AUTH_TRUNC", 2: "ALG_CRYPT", 21: "MARK", 23: "REPLAY_ESN_VAL",
              31: "IF_ID"}
NUMBERS = (11, 12)  # those whose value is one number
FLAGS = {0x20: "CE, the timer", 0x40: "CU, thresholds were set", 0x10: "CR, the threshold"}
DIRECTIONS, MODES = ("in", "out", "fwd"), ("transport", "tunnel")
SA_SIZE, SA_ID_SIZE, POLICY_SIZE, POLICY_ID_SIZE, ACTIVITY_SIZE = 224, 24, 168, 64, 48


def address(octets, family):
    return str(ipaddress.ip_address(octets[:4] if family == socket.AF_INET else octets[:16]))


def number(octets, at):
    return struct.unpack_from("=I", octets, at)[0]


def spi(octets, at):
    return f"{struct.unpack_from('!I', octets, at)[0]:08x}"


def sa(body):
    """struct xfrm_usersa_info"""
    family = struct.unpack_from("=H", body, 212)[0]
    return (f"spi {spi(body, 72)}, {address(body[80:], family)} -> {address(body[56:], family)}, reqid {number(body, 208)}, "
            f"{MODES[body[214]]}")


def sa_id(body):
    """struct xfrm_usersa_id"""
    return f"spi {spi(body, 16)} at {address(body, struct.unpack_from('=H', body, 20)[0])}"


def selector(body):
    """struct xfrm_selector"""
    family = struct.unpack_from("=H", body, 40)[0]
    return f"{address(body[16:], family)}/{body[43]} -> {address(body, family)}/{body[42]}"


def attribute(kind, value):
    name = ATTRIBUTES.get(kind)
    if name and kind in NUMBERS:
        return f"{name} {number(value, 0)}"
    if name == "TMPL":
        return f"{name} esp {MODES[value[48]]}, reqid {number(value, 44)}"
    if name == "LTIME_VAL":
        return f"{name} {struct.unpack_from('=Q', value, 8)[0]} packets before"
    if name and name.startswith("ALG_"):
        return f"{name} {value[:64].split(bytes(1))[0].decode('ascii')}"
    return name


def attributes(octets):
    """In words, those that are known here."""
    said = []
    while len(octets) >= 4:
        size, kind = struct.unpack_from("=HH", octets)
        if size < 4:
            break
        said.append(attribute(kind, octets[4:size]))
        octets = octets[(size + 3) & ~3:]
    return "".join(f"; {one}" for one in said if one)


def words(kind, body, is_request):
    """One message without its header."""
    if kind == "DELSA" and is_request or kind == "GETSA":
        return sa_id(body) + attributes(body[SA_ID_SIZE:])
    if kind in ("NEWSA", "UPDSA"):
        return sa(body) + attributes(body[SA_SIZE:])
    if kind == "ALLOCSPI":
        return sa(body)
    if kind in ("NEWPOLICY", "UPDPOLICY"):
        return (f"{DIRECTIONS[body[160] & 3]}, {selector(body)}, priority {number(body, 152)}"
                + attributes(body[POLICY_SIZE:]))
    if kind in ("DELPOLICY", "GETPOLICY"):
        return f"{DIRECTIONS[body[60] & 3]}, {selector(body)}"
    if kind in ("NEWAE", "GETAE"):
        flags = number(body, 40)
        why = [text for bit, text in FLAGS.items() if flags & bit]
        return sa_id(body) + "".join(f", {text}" for text in why) + attributes(body[ACTIVITY_SIZE:])
    if kind == "EXPIRE":
        return sa(body) + (", hard" if body[SA_SIZE] else ", soft")
    return ""


def messages(datagram):
    """One line each."""
    while len(datagram) >= 16:
        size, number_of_kind, flags, sequence, _ = struct.unpack_from("=IHHII", datagram)
        if size < 16:
            return
        body = datagram[16:size]
        datagram = datagram[(size + 3) & ~3:]
        if sequence > SEQUENCE_MAX:
            continue
        is_request = bool(flags & REQUEST) and number_of_kind >= 16
        arrow = "imagod -> kernel" if is_request else "kernel -> imagod"
        if number_of_kind == 2:
            code = struct.unpack_from("=i", body)[0]
            yield f"{arrow}  #{sequence} {'done' if code == 0 else f'refused, errno {-code}'}"
        elif number_of_kind == 3:
            yield f"{arrow}  #{sequence} end of the dump"
        else:
            kind = TYPES[number_of_kind - 16] if 0 <= number_of_kind - 16 < len(TYPES) else str(number_of_kind)
            label = f"#{sequence} " if sequence else "event "
            yield f"{arrow}  {label}{kind} {words(kind, body, is_request)}"


class NetlinkMonitor:
    """Hears all XFRM netlink of one side's network namespace from now on."""

    def __init__(self, lab, name):
        run("ip", "-n", lab.namespace(name), "link", "add", "nlmon0", "type", "nlmon")
        run("ip", "-n", lab.namespace(name), "link", "set", "nlmon0", "up")

        def make():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            made.bind(("nlmon0", 3))
            made.setblocking(False)
            return made
        self.socket = enter_and(lab.namespace(name), make)

    def lines(self):
        """What was said since."""
        said = []
        while select.select([self.socket], [], [], 0.2)[0]:
            datagram, source = self.socket.recvfrom(1 << 16)
            if source[1] == NETLINK_XFRM:
                said += messages(datagram)
        return said
