"""A running imagod, steered over its control socket with the calls that a world's host has."""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional

from ._imago import CommandFailed, ConfigError, Error, TimedOut
from .vici import COMMAND, RESPONSE, Message, Vici, encode

DEFAULT_PATH = "/run/imago/vici"
# Keys whose values travel as lists; in swanctl.conf's text they are separated by commas.
_LISTS = frozenset(("local_addrs", "remote_addrs", "proposals", "esp_proposals", "local_ts", "remote_ts", "certs",
                    "cacerts", "vips", "pools"))


@dataclass(frozen=True)
class ChildSa:
    """A Child SA as imagod lists it. `raw` has every key of list-sas."""

    name: str
    state: str
    mode: str
    inbound_spi: int
    outbound_spi: int
    reqid: int
    local_selectors: List[str]
    remote_selectors: List[str]
    raw: Message = field(repr=False, compare=False, default_factory=dict)


@dataclass(frozen=True)
class IkeSa:
    """An IKE SA as imagod lists it. `raw` has every key of list-sas."""

    connection: str
    number: int
    state: str
    role: str
    local: str
    remote: str
    local_identity: str
    remote_identity: str
    initiator_spi: int
    responder_spi: int
    child_sas: List[ChildSa]
    raw: Message = field(repr=False, compare=False, default_factory=dict)


@dataclass(frozen=True)
class Connection:
    """A connection that is loaded."""

    name: str
    children: List[str]
    raw: Message = field(repr=False, compare=False, default_factory=dict)


class Command:
    """What imagod was asked to do, and what came of it. It has a connection of its own until it is answered."""

    def __init__(self, path: str, name: str, message: Mapping[str, Any]) -> None:
        self.text = f"{name} {message.get('ike', '')} {message.get('child', '')}".rstrip()
        self._answer: Optional[Message] = None
        self._failure: Optional[Exception] = None
        self._vici = _open(path, None)
        self._vici.send(COMMAND, name, encode({key: value for key, value in message.items() if value != ""}))

    def __repr__(self) -> str:
        return f"<imago.live.Command '{self.text}'>"

    @property
    def done(self) -> bool:
        """It was answered."""
        self._look(0)
        return self._is_answered()

    @property
    def error(self) -> Optional[Exception]:
        """A CommandFailed, not raised; None while nothing failed."""
        self._look(0)
        return self._failure

    @property
    def matches(self) -> Optional[int]:
        """How many SAs fitted; None while not known, and of initiate()."""
        self._look(0)
        return int(self._answer["matches"]) if self._answer and "matches" in self._answer else None

    def wait(self, seconds: float = 60.0) -> None:
        """Until it is answered. Raises CommandFailed if it failed, TimedOut."""
        self._look(seconds)
        if not self._is_answered():
            raise TimedOut(f"'{self.text}' was not answered within {seconds} s; it goes on: wait() again, "
                           "or look at imagod's log")
        if self._failure:
            raise self._failure

    def _is_answered(self):
        return self._answer is not None or self._failure is not None

    def _look(self, seconds):
        if self._is_answered() or not select.select([self._vici.socket], [], [], seconds)[0]:
            return
        try:
            # What begins to come comes whole: imagod writes an answer at once.
            self._vici.socket.settimeout(20)
            kind, content = self._vici.receive()
            if kind != RESPONSE:
                raise LookupError(f"the daemon does not know '{self.text}'")
            self._answer = content
            if content.get("success", "yes") != "yes":
                self._failure = CommandFailed(f"{self.text}: {content.get('errmsg', 'refused')}")
        except (OSError, ValueError, LookupError) as problem:
            self._failure = Error(f"{self.text}: {problem}")
        self._vici.close()


class Live:
    """A running imagod. Each call has its own connection to the control socket, so none waits for another."""

    def __init__(self, path: str) -> None:
        self.path = path.removeprefix("unix://")
        self._ask("version")  # is anybody there?

    def __repr__(self) -> str:
        return f"<imago.Live {self.path}>"

    def initiate(self, connection: str = "", child: str = "") -> Command:
        """Brings up a Child SA, and its IKE SA if there is none. Without a child: only the IKE SA."""
        return Command(self.path, "initiate", {"ike": connection, "child": child})

    def terminate(self, connection: str = "", child: str = "", force: bool = False) -> Command:
        """Deletes the Child SAs of that name, or without one the IKE SAs of that connection."""
        message = {"ike": connection, "child": child, "timeout": 60000}
        return Command(self.path, "terminate", {**message, "force": "yes"} if force else message)

    def rekey(self, connection: str = "", child: str = "") -> Command:
        """Rekeys the Child SAs of that name, or without one the IKE SAs. Answered when it has begun."""
        return Command(self.path, "rekey", {"ike": connection, "child": child})

    def kill(self, connection: str = "", child: str = "") -> Command:
        """Drops SAs at once, whatever they are doing; the peer is not asked."""
        return Command(self.path, "kill", {"ike": connection, "child": child})

    def impair(self, fault: str, **arguments: Any) -> int:
        """Orders a fault, where imagod was started with --allow-impair; its number is returned.

        live.impair("drop", message="IKE_AUTH response", direction="sent", nth=2). `faults` explains each.
        Raises CommandFailed.
        """
        return int(self._do("impair", {"fault": fault, **arguments})["id"])

    def clear_impairments(self, number: Optional[int] = None) -> int:
        """Lifts that fault, or all; returns how many. Raises CommandFailed."""
        return int(self._do("impair-clear", {} if number is None else {"id": number})["cleared"])

    @property
    def faults(self) -> Dict[str, Message]:
        """The faults that can be ordered, each with its story, its arguments and an example."""
        return self._ask("impair-list")["faults"]

    @property
    def impairments(self) -> Dict[int, Message]:
        """What was ordered, by number: fault, what, state, how often it was met and how often it fired."""
        return {int(number): one for number, one in self._ask("impair-list")["impairments"].items()}

    def load(self, config: Optional[Mapping[str, Any]] = None) -> None:
        """Loads connections and shared secrets from a dict such as a host of a world takes; without one imagod
        reads its own files again. Raises ConfigError."""
        if config is None:
            return self._load("reload-settings", {})
        if not isinstance(config, Mapping):
            raise TypeError("load(): a dict is wanted; text is for files, which imagod reads itself")
        for name, connection in config.get("connections", {}).items():
            self._load("load-conn", {name: _with_lists(connection)})
        for name, secret in config.get("secrets", {}).items():
            owners = [value for key, value in secret.items() if key.startswith("id")]
            self._load("load-shared", {"id": name, "type": "IKE", "data": secret["secret"], "owners": owners})
        return None

    @property
    def ike_sas(self) -> List[IkeSa]:
        """Every IKE SA with its Child SAs, as it is now."""
        return [_ike_sa(name, raw) for event in self._stream("list-sas", "list-sa") for name, raw in event.items()]

    @property
    def connections(self) -> List[Connection]:
        """What is loaded."""
        return [Connection(name, list(raw.get("children", {})), raw)
                for event in self._stream("list-conns", "list-conn") for name, raw in event.items()]

    @property
    def version(self) -> Dict[str, str]:
        """Who answers."""
        return self._ask("version")

    @property
    def stats(self) -> Message:
        """What the engine and its process count."""
        return self._ask("stats")

    def _load(self, command, message):
        answer = self._ask(command, message)
        if answer.get("success") != "yes":
            raise ConfigError(f"{command}: {answer.get('errmsg', 'refused')}")

    def _do(self, command, message):
        answer = self._ask(command, message)
        if answer.get("success") != "yes":
            raise CommandFailed(f"{command}: {answer.get('errmsg', 'refused')}")
        return answer

    def _ask(self, command, message=None):
        return self._with(lambda vici: vici.request(command, message))

    def _stream(self, command, event):
        return self._with(lambda vici: vici.stream(command, event))

    def _with(self, act):
        with _open(self.path, 20) as vici:
            try:
                return act(vici)
            except (OSError, ValueError, LookupError) as problem:
                raise Error(f"{self.path}: {problem}") from problem


def connect(path: str = DEFAULT_PATH) -> Live:
    """The imagod whose control socket is there. Raises Error with what is wrong when nobody answers."""
    return Live(path)


def _open(path, timeout):
    try:
        return Vici(path, timeout)
    except OSError as problem:
        raise Error(f"{path}: no daemon answers ({problem.strerror}); start imagod with --control unix://{path}, "
                    "or give the path of its control socket") from problem


def _with_lists(section):
    made = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            value = _with_lists(value)
        elif key in _LISTS and isinstance(value, str):
            value = [one.strip() for one in value.split(",")]
        made[key] = value
    return made


def _ike_sa(connection, raw):
    return IkeSa(connection=connection, number=int(raw["uniqueid"]), state=raw["state"].lower(),
                 role="initiator" if raw.get("initiator") == "yes" else "responder",
                 local=f"{raw['local-host']}:{raw['local-port']}", remote=f"{raw['remote-host']}:{raw['remote-port']}",
                 local_identity=raw["local-id"], remote_identity=raw["remote-id"],
                 initiator_spi=int(raw["initiator-spi"], 16), responder_spi=int(raw["responder-spi"], 16),
                 child_sas=[_child_sa(one) for one in raw.get("child-sas", {}).values()], raw=raw)


def _child_sa(raw):
    return ChildSa(name=raw["name"], state=raw["state"].lower(), mode=raw["mode"].lower(),
                   inbound_spi=int(raw["spi-in"], 16), outbound_spi=int(raw["spi-out"], 16),
                   reqid=int(raw.get("reqid", 0)), local_selectors=list(raw.get("local-ts", [])),
                   remote_selectors=list(raw.get("remote-ts", [])), raw=raw)
