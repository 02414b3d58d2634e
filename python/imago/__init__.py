"""Imago from Python: engines in a world that a script steps, or one that runs somewhere.

    world = imago.World(seed=7)                 production engines, virtual time, every message a choice
    imago.explore("child-rekey-collision")      every order in which things may happen
    imago.connect("/run/imago/vici")            the same calls to a running imagod

docs/scripting.md teaches it in one page.
"""

from ._imago import (ChildSa, Command, CommandFailed, ConfigError, Connection, Crypto, Datagram, Error,
                     Exploration, Fact, Host, IkeSa, Kernel, KernelPolicy, KernelSa, LarvalSa, Letter,
                     Network, NotCopyable, NotFound, NotSupported, Replay, Rule, Scenario, TimedOut,
                     Violation, World, WorldBusy, WorldGone, explore, replay, scenarios)
from .configuration import psk_pair, render
from .ladder import ladder
from .live import Live, connect
from .packets import split

__all__ = [
    "ChildSa", "Command", "CommandFailed", "ConfigError", "Connection", "Crypto", "Datagram", "Error",
    "Exploration", "Fact", "Host", "IkeSa", "Kernel", "KernelPolicy", "KernelSa", "LarvalSa", "Letter",
    "Live", "Network", "NotCopyable", "NotFound", "NotSupported", "Replay", "Rule", "Scenario", "TimedOut",
    "Violation", "World", "WorldBusy", "WorldGone", "connect", "explore", "ladder", "psk_pair", "render", "replay", "scenarios",
    "split",
]
