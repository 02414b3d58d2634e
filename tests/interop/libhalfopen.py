"""IKE_SA_INIT requests of initiators that never go on, RFC 7296 section 1.2."""

import os
import struct

from libpeers import WIRE, other
from libtraffic import enter_and, udp_socket

NO_NEXT, SA, KE, NONCE = 0, 33, 34, 40


def payload(next_kind, body):
    return struct.pack("!BBH", next_kind, 0, 4 + len(body)) + body


def transform(is_last, kind, number, attribute=b""):
    return struct.pack("!BBHBBH", 0 if is_last else 3, 0, 8 + len(attribute), kind, 0, number) + attribute


def request(key_bits):
    """AES-GCM-16, HMAC-SHA2-256, X25519; the public value is random, which X25519 allows."""
    transforms = (transform(False, 1, 20, struct.pack("!HH", 0x800E, key_bits)) + transform(False, 2, 5)
                  + transform(True, 4, 31))
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 3) + transforms
    body = (payload(KE, proposal) + payload(NONCE, struct.pack("!HH", 31, 0) + os.urandom(32))
            + payload(NO_NEXT, os.urandom(32)))
    return os.urandom(8) + bytes(8) + struct.pack("!BBBBII", SA, 0x20, 34, 0x08, 0, 28 + len(body)) + body


def ask(sender, octets, address, tries=20):
    """The answer; a request without one is sent again (RFC 7296 section 2.1)."""
    for _ in range(tries):
        sender.sendto(octets, address)
        try:
            answer = sender.recv(2000)
            while answer[:8] != octets[:8]:  # to a request that was sent twice
                answer = sender.recv(2000)
            return answer
        except TimeoutError:
            pass
    raise AssertionError(f"no answer to {tries} IKE_SA_INIT requests")


def open_half(lab, source, count, key_bits=128):
    """`count` half-open IKE SAs at the peer of `source`; returns the answers in their order."""
    sender = enter_and(lab.namespace(source), lambda: udp_socket(WIRE[4][source], 40000))
    sender.settimeout(1)
    answers = []
    try:
        for _ in range(count):
            answers.append(ask(sender, request(key_bits), (WIRE[4][other(source)], 500)))
    finally:
        sender.close()
    return answers


def notify_kinds(answer):
    """Of the notify payloads of an unencrypted answer."""
    kinds, at, kind = [], 28, answer[16]
    while kind != NO_NEXT and at + 4 <= len(answer):
        size = int.from_bytes(answer[at + 2:at + 4], "big")
        if kind == 41:
            kinds.append(int.from_bytes(answer[at + 6:at + 8], "big"))
        kind, at = answer[at], at + max(size, 4)
    return kinds
