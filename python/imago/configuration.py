"""A configuration as a dict, in swanctl.conf's form.

    {"connections": {"office": {"remote_addrs": "192.0.2.2",
                                "local": {"auth": "psk", "id": "a.example"},
                                "children": {"net": {"local_ts": ["10.1.0.0/16", "10.3.0.0/16"]}}}}}

Lists are joined with commas, True and False are yes and no, numbers are numbers.
"""

from __future__ import annotations

import re
from typing import Any, Mapping

_NAME = re.compile(r"[A-Za-z0-9_.@:%+*-]+")


def render(configuration: Mapping[str, Any]) -> str:
    """The text of swanctl.conf. Raises ValueError with the place of what cannot be said."""
    if not isinstance(configuration, Mapping):
        raise TypeError(f"a configuration is text or a dict, not {type(configuration).__name__}")
    return "".join(_lines(configuration, (), 0))


def _lines(section, place, depth):
    indent = "  " * depth
    for key, value in section.items():
        here = (*place, str(key))
        if not _NAME.fullmatch(str(key)):
            raise ValueError(f"{'.'.join(here)}: '{key}' cannot be a name in swanctl.conf")
        if isinstance(value, Mapping):
            yield f"{indent}{key} {{\n"
            yield from _lines(value, here, depth + 1)
            yield f"{indent}}}\n"
        else:
            yield f"{indent}{key} = {_value(value, here)}\n"


def _value(value, place):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(one, place) for one in value)
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"{'.'.join(place)}: a {type(value).__name__} cannot be a value; "
                         "text, a number, a bool or a list of them can")
    text = str(value)
    if re.search(r'[#{}"\\\n=]|^\s|\s$|^$', text):
        text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{text}"'
    return text


def psk_pair(connection: str = "tunnel", child: str = "net", *, addresses=("192.0.2.1", "192.0.2.2"),
             networks=("10.1.0.0/16", "10.2.0.0/16"), identities=("a.example", "b.example"),
             secret: str = "a secret that two share", ike: Mapping[str, Any] | None = None, **child_keys: Any) -> tuple[dict, dict]:
    """The configurations of two peers with a shared secret: one connection with one child between two networks.

    `ike` and further keywords are more keys of the connection and of the child, the same on both sides.
    """
    both = []
    for local, remote in ((0, 1), (1, 0)):
        both.append({
            "connections": {connection: {
                "local_addrs": addresses[local], "remote_addrs": addresses[remote],
                "local": {"auth": "psk", "id": identities[local]},
                "remote": {"auth": "psk", "id": identities[remote]},
                "children": {child: {"local_ts": networks[local], "remote_ts": networks[remote], **child_keys}},
                **(ike or {}),
            }},
            "secrets": {f"ike-{connection}": {"id-a": identities[0], "id-b": identities[1], "secret": secret}},
        })
    return both[0], both[1]
