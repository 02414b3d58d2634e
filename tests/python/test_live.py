"""The same calls to a running imagod: a pair of daemons in networks of their own."""

import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

import imago
from imago import vici

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from libprograms import IMAGOD, READY, Program, imagod_command, not_built, wait_until  # noqa: E402

def test_messages_survive_their_encoding():
    message = {"ike": "office", "list": ["a", "b"], "empty": [], "section": {"deeper": {"key": "värde"}}, "yes": True}
    assert vici.decode(vici.encode(message)) == {**message, "yes": "yes"}
    with pytest.raises(ValueError):
        vici.encode({"x" * 256: ""})
    whole = vici.encode({"s": {"k": "v"}, "l": ["i"]})
    for cut in range(1, len(whole)):
        try:
            vici.decode(whole[:cut])
        except ValueError:
            continue
    for wrong in (b"\x02", b"\x05\x00\x01a", b"\x09", b"\x01\x01a", b"\x03\x05a"):
        with pytest.raises(ValueError):
            vici.decode(wrong)


def test_nobody_at_the_socket_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(imago.Error, match="no daemon answers .*--control unix://"):
        imago.connect(str(tmp_path / "nothing"))


def test_a_daemon_that_talks_nonsense_or_hangs_up_is_an_error(tmp_path):
    for answer in (b"", b"\x00\x00\x00\x02\x01\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\x02"):
        path = str(tmp_path / f"odd{len(answer)}{answer[-1:].hex()}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(path)
            server.listen()

            def serve(server=server, answer=answer):
                client, _ = server.accept()
                client.recv(100)
                client.sendall(answer)
                client.close()

            thread = threading.Thread(target=serve)
            thread.start()
            with pytest.raises(imago.Error, match=path):
                imago.connect(path)
            thread.join()


# Each in a network of its own, joined by a veth pair that the second makes once the first is there.
FIRST = """
echo waiting
read -r _ <"$0"
ip address add 192.0.2.1/24 dev wire && ip link set dev wire up && exec "$@"
"""
SECOND = """
ip link add name wire type veth peer name wire netns "$1" && echo >"$0" || exit 1
shift
ip address add 192.0.2.2/24 dev wire && ip link set dev wire up && exec "$@"
"""


@pytest.fixture
def daemons(tmp_path):
    """Two imagod."""
    if reason := not_built(IMAGOD):
        pytest.skip(reason)
    if subprocess.run(["unshare", "--net", "ip", "link", "add", "type", "veth"], check=False,
                      capture_output=True).returncode != 0:
        pytest.skip("network namespaces with veth pairs are not allowed here")
    commands = []
    for name, config in zip("ab", imago.psk_pair()):
        (tmp_path / f"{name}.conf").write_text(imago.render(config))
        commands.append(imagod_command(str(tmp_path / f"{name}.conf"), f"unix://{tmp_path}/{name}", "fake", "--allow-impair"))
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    programs = []
    try:
        programs.append(Program(["unshare", "--net", "sh", "-c", FIRST, gate, *commands[0]]))
        programs[0].wait_for("waiting")
        pid = str(programs[0].process.pid)
        programs.append(Program(["unshare", "--net", "sh", "-c", SECOND, gate, pid, *commands[1]]))
        for one in programs:
            one.wait_for(READY)
        yield imago.connect(f"unix://{tmp_path}/a"), imago.connect(str(tmp_path / "b"))
    finally:
        for one in programs:
            one.end()


def test_the_calls_of_a_host_drive_a_running_imagod(daemons):
    a, b = daemons
    assert a.version["daemon"] == "imagod" and "ikesas" in a.stats
    assert [(one.name, one.children) for one in a.connections] == [("tunnel", ["net"])]
    command = a.initiate("tunnel", "net")
    command.wait()
    assert command.done and command.error is None
    sa, = a.ike_sas
    child, = sa.child_sas
    assert (sa.connection, sa.state, sa.role, child.name, child.mode) == (
        "tunnel", "established", "initiator", "net", "tunnel")
    assert child.local_selectors == ["10.1.0.0/16"] and sa.remote_identity == "b.example"
    theirs, = wait_until(lambda: [one for one in b.ike_sas if one.child_sas], "b has the Child SA")
    assert theirs.child_sas[0].inbound_spi == child.outbound_spi
    rekey = b.rekey("tunnel", "net")
    rekey.wait()
    assert rekey.matches == 1
    wait_until(lambda: a.ike_sas[0].child_sas[0].inbound_spi != child.inbound_spi, "a new Child SA")
    a.terminate("tunnel").wait()
    wait_until(lambda: not a.ike_sas and not b.ike_sas, "nothing is left")


def test_a_refusal_is_an_exception_with_the_daemons_words(daemons):
    a, _ = daemons
    command = a.initiate("tunnel", "nothing")
    with pytest.raises(imago.CommandFailed, match="initiate tunnel nothing: .*not found"):
        command.wait()
    assert isinstance(command.error, imago.CommandFailed)
    with pytest.raises(imago.CommandFailed, match="no matching"):
        a.terminate("tunnel").wait()


def test_connections_of_a_dict_are_loaded_over_the_socket(daemons):
    a, b = daemons
    # Identities of its own: a responder knows a connection by them.
    both = imago.psk_pair("second", "lan", networks=("10.5.0.0/16", "10.6.0.0/16"), identities=("c.example", "d.example"))
    for live, config in zip((a, b), both):
        live.load(config)
    assert sorted(one.name for one in a.connections) == ["second", "tunnel"]
    a.initiate("second", "lan").wait()
    assert a.ike_sas[0].child_sas[0].local_selectors == ["10.5.0.0/16"]
    with pytest.raises(imago.ConfigError, match="load-conn"):
        a.load({"connections": {"bad": {"remote_adr": "192.0.2.9"}}})
    with pytest.raises(TypeError, match="a dict"):
        a.load("connections { }")
    a.load()


def test_faults_are_ordered_met_and_lifted(daemons):
    a, b = daemons
    assert "drop" in a.faults and a.faults["drop"]["story"]
    number = b.impair("drop", message="IKE_AUTH response", direction="sent")
    command = a.initiate("tunnel", "net")
    command.wait()  # the request is sent again after a second, and answered again
    assert b.impairments[number]["fired"] == "1" and b.impairments[number]["state"] == "over"
    other = a.impair("stall-crypto")
    assert a.clear_impairments(other) == 1 and a.clear_impairments() == 0
    with pytest.raises(imago.CommandFailed, match="impair: "):
        a.impair("no-such-fault")
    with pytest.raises(imago.CommandFailed, match="not armed"):
        a.clear_impairments(other)
