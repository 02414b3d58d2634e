"""What crossed the wire, drawn as the RFC draws it."""

from __future__ import annotations

from typing import Iterable

_WIDTH = 72


def ladder(datagrams: Iterable, initiator: str = "a") -> str:
    """One line for each datagram, such as world.network.sent: the initiator's to the right, others to the left.

        IKE_SA_INIT request 0: SA, KE, Nonce -->
                       <-- IKE_SA_INIT response 0: SA, KE, Nonce
    """
    lines = []
    for one in datagrams:
        payloads = ", ".join(name for name in one.payloads if not name.startswith("N("))
        notifies = sum(name.startswith("N(") for name in one.payloads)
        if notifies:
            payloads += f", {notifies} N"
        text = one.label + (f": {payloads}" if payloads else "")
        if one.sender == initiator:
            lines.append(f"{text} -->")
        else:
            lines.append(f"<-- {text}".rjust(_WIDTH))
    return "\n".join(lines)
