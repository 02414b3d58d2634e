"""The wire, by hand and by rule."""

import pytest

import imago
from conftest import make_pair


def test_datagrams_wait_and_are_objects(pair):
    pair.world.network.hold()
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    first, = pair.world.network.waiting
    assert (first.sender, first.source, first.destination) == ("a", "192.0.2.1:500", "192.0.2.2:500")
    assert (first.exchange, first.message_id, first.is_response) == ("IKE_SA_INIT", 0, False)
    assert first.is_from_initiator and first.responder_spi == 0 and first.initiator_spi != 0
    assert first.payloads[:3] == ["SA", "KE", "Nonce"] and "N(FRAGMENTATION_SUPPORTED)" in " ".join(
        first.payloads).replace("IKEV2_", "")
    assert first.label == "IKE_SA_INIT request 0" and not first.is_esp and first.spi is None
    assert bytes(first) == first.octets and first.octets[:8] == first.initiator_spi.to_bytes(8, "big")
    pair.world.network.deliver(first)
    pair.world.run()
    answer, = pair.world.network.waiting
    assert answer.is_response and answer.sender == "b"
    pair.world.network.deliver(answer)
    pair.world.run()
    protected, = pair.world.network.waiting
    assert protected.exchange == "IKE_AUTH" and protected.payloads == ["SK"]
    pair.world.network.release()
    pair.world.run()
    assert pair.a.ike_sas[0].state == "established" and pair.world.network.waiting == []
    assert [one.exchange for one in pair.world.network.sent] == ["IKE_SA_INIT"] * 2 + ["IKE_AUTH"] * 2
    with pytest.raises(imago.NotFound, match="network.hold"):
        pair.world.network.deliver(first)


def test_a_dropped_request_is_sent_again_octet_for_octet(pair):
    pair.world.network.hold()
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    first, = pair.world.network.waiting
    pair.world.network.drop(first)
    pair.world.network.release()
    pair.world.advance(3)
    sent = [one for one in pair.world.network.sent if one.label == first.label]
    assert len(sent) == 2 and sent[0].octets == sent[1].octets
    assert pair.a.ike_sas[0].state == "established"


def test_a_duplicate_is_answered_twice_alike(pair):
    pair.world.network.on_datagram("IKE_SA_INIT request 0", action="duplicate", times=1)
    pair.a.initiate("tunnel", "net").wait()
    answers = [one.octets for one in pair.world.network.sent if one.label == "IKE_SA_INIT response 0"]
    assert len(answers) in (1, 2) and len(set(answers)) == 1
    pair.world.network.hold()
    pair.a.rekey("tunnel", "net")
    pair.world.run()
    request, = pair.world.network.waiting
    pair.world.network.duplicate(request)
    assert [one.id for one in pair.world.network.waiting] == [request.id] * 2
    for _ in range(2):
        pair.world.network.deliver(request)
        pair.world.run()
    answers = [one.octets for one in pair.world.network.sent if one.label == "CREATE_CHILD_SA response 2"]
    assert len(answers) == 2 and len(set(answers)) == 1


def test_a_delayed_datagram_arrives_when_it_is_due(pair):
    pair.world.network.hold()
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    pair.world.network.delay(pair.world.network.waiting[0], seconds=0.5)
    assert pair.world.network.waiting == []
    pair.world.advance(0.4)
    assert pair.world.network.waiting == []
    pair.world.advance(0.2)
    assert [one.label for one in pair.world.network.waiting] == ["IKE_SA_INIT response 0"]


def test_altered_octets_do_not_pass_for_genuine(pair):
    pair.world.network.hold()
    pair.a.initiate("tunnel", "net")
    for _ in range(2):
        pair.world.run()
        pair.world.network.deliver(pair.world.network.waiting[0])
    pair.world.run()
    auth, = pair.world.network.waiting
    spoiled = bytearray(auth.octets)
    spoiled[-1] ^= 1
    assert pair.world.network.alter(auth, spoiled).octets == bytes(spoiled)
    pair.world.network.deliver(auth)
    pair.world.run()
    assert pair.b.ike_sas[0].state == "sa_init_done_r"
    pair.world.network.release()
    pair.world.advance(5)
    assert pair.b.ike_sas[0].state == "established"


def test_a_rule_alters_what_travels(pair):
    def spoil(datagram):
        return datagram.octets[:-1] + bytes([datagram.octets[-1] ^ 255])

    rule = pair.world.network.on_datagram("IKE_AUTH request*", change=spoil, times=2)
    pair.a.initiate("tunnel", "net").wait()
    assert rule.hits == 2
    assert len([one for one in pair.world.network.sent if one.label == "IKE_AUTH request 1"]) == 3


def test_rules_see_sender_destination_and_predicate(pair):
    network = pair.world.network
    held = network.on_datagram(sender="b", destination="192.0.2.1:*", where=lambda one: one.is_response, action="hold")
    dropped = network.on_datagram(sender="a", where=lambda one: one.exchange == "IKE_AUTH", action="drop")
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert (held.hits, dropped.hits) == (1, 0)
    held.remove()
    network.release()
    pair.world.run()
    assert (held.hits, dropped.hits) == (1, 1)
    assert pair.a.ike_sas[0].state == "auth_sent"


def test_injected_octets_meet_the_engine(pair):
    network = pair.world.network
    network.inject("198.51.100.9:500", "192.0.2.2:500", b"\x00" * 40)
    network.inject("198.51.100.9:500", "192.0.2.2:500", b"")
    pair.world.run()
    assert pair.b.ike_sas == [] and pair.b.problems == []
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    request = network.sent[0]
    # The same request from elsewhere is another half-open IKE SA; it is answered to where it came from.
    network.inject("198.51.100.9:500", "192.0.2.2:500", request)
    pair.world.run()
    assert network.sent[-1].destination in ("198.51.100.9:500", "192.0.2.1:500")
    with pytest.raises(ValueError, match="not an endpoint"):
        network.inject("somewhere", "192.0.2.2:500", b"x")
    with pytest.raises(TypeError, match="octets are wanted"):
        network.inject("198.51.100.9:500", "192.0.2.2:500", 7)


def ip_packet(source, destination, content):
    """IPv4 and UDP by hand."""
    def octets(endpoint):
        address, port = endpoint.split(":")
        return bytes(map(int, address.split("."))), int(port).to_bytes(2, "big")

    (from_address, from_port), (to_address, to_port) = octets(source), octets(destination)
    udp = from_port + to_port + (8 + len(content)).to_bytes(2, "big") + bytes(2) + content
    head = b"\x45\x00" + (20 + len(udp)).to_bytes(2, "big") + bytes(4) + b"\x40\x11" + bytes(2)
    return head + from_address + to_address + udp


def test_a_whole_ip_packet_is_split_into_what_inject_takes():
    assert imago.split(ip_packet("192.0.2.1:500", "192.0.2.2:500", b"ike")) == (
        "192.0.2.1:500", "192.0.2.2:500", b"ike", False)
    assert imago.split(ip_packet("192.0.2.1:4500", "192.0.2.2:4500", bytes(4) + b"ike"))[2:] == (b"ike", False)
    assert imago.split(ip_packet("192.0.2.1:4500", "192.0.2.2:4500", b"\1\2\3\4esp"))[2:] == (b"\1\2\3\4esp", True)
    six = bytes.fromhex("6000000000091140") + bytes(15) + b"\1" + bytes(15) + b"\2" + bytes.fromhex("01f401f400090000") + b"x"
    assert imago.split(six) == ("[::1]:500", "[::2]:500", b"x", False)
    for wrong in (b"", b"\x45" + bytes(10), ip_packet("192.0.2.1:1", "192.0.2.2:2", b"")[:24], bytes(60)):
        with pytest.raises(ValueError):
            imago.split(wrong)


def test_scapys_packets_can_be_injected(pair):
    inet = pytest.importorskip("scapy.layers.inet", reason="scapy is not installed")
    isakmp = pytest.importorskip("scapy.contrib.ikev2")
    pair.world.network.hold()
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    request, = pair.world.network.waiting
    message = isakmp.IKEv2(request.octets)
    assert message.exch_type == 34 and message.id == 0
    packet = inet.IP(src="192.0.2.1", dst="192.0.2.2") / inet.UDP(sport=500, dport=500) / message
    source, destination, octets, is_esp = imago.split(packet)
    assert octets == request.octets
    pair.world.network.drop(request)
    pair.world.network.inject(source, destination, octets, is_esp=is_esp)
    pair.world.run()
    answer, = pair.world.network.waiting
    assert answer.label == "IKE_SA_INIT response 0"


def test_conditions_of_links_and_wrong_ones(pair):
    network = pair.world.network
    network.link("a", pair.b, loss=1)
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert pair.b.ike_sas == []
    network.link("a", "b", delay=2)
    began = pair.world.now
    pair.world.run_until("child_up", seconds=60)
    assert pair.world.now >= began + 4
    for wrong in ({"loss": 1.5}, {"loss": -1}, {"delay": -1}, {"mtu": 20}, {"delay": float("nan")}):
        with pytest.raises(ValueError):
            network.link(**wrong)
    with pytest.raises(ValueError, match="give both"):
        network.link("a", loss=0.5)
    with pytest.raises(imago.NotFound, match="no host 'c'"):
        network.link("a", "c")


def test_a_small_mtu_loses_what_is_larger(pair):
    pair.world.network.link(mtu=200)
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert len(pair.world.network.sent[0].octets) > 200 - 28 and pair.b.ike_sas == []


def test_partitions_and_interfaces_that_are_down(up):
    up.world.network.partition([up.a], ["b"])
    up.a.rekey("tunnel", "net")
    up.world.advance(1.5)
    assert not any(one.sender == "b" and one.exchange == "CREATE_CHILD_SA" for one in up.world.network.sent)
    up.world.network.heal()
    up.world.advance(30)
    assert len(up.a.ike_sas[0].child_sas) == 1 and up.a.kernel.sa_count == 2
    up.world.network.down("b")
    up.b.rekey("tunnel", "net")
    up.world.advance(1)
    before = len(up.a.journal)
    up.world.network.up(up.b)
    up.world.advance(30)
    assert len(up.a.journal) > before and up.a.kernel.sa_count == 2


def test_a_nat_is_seen_through_and_followed():
    made = make_pair()
    ours, theirs = imago.psk_pair()
    theirs["connections"]["tunnel"]["remote_addrs"] = "%any"
    made.b.load(theirs)
    made.world.network.nat(made.a, "203.0.113.5")
    made.a.initiate("tunnel", "net").wait()
    made.world.run()
    child = made.a.ike_sas[0].child_sas[0]
    assert child.is_encapsulated
    remote = made.b.ike_sas[0].remote
    assert remote.startswith("203.0.113.5:")
    made.world.network.remap("a")
    made.a.rekey("tunnel", "net")
    made.world.advance(60)
    assert made.b.ike_sas[0].remote != remote
    made.world.close()


def test_the_ladder_reads_like_the_rfcs(up):
    lines = imago.ladder(up.world.network.sent).splitlines()
    assert lines[0].startswith("IKE_SA_INIT request 0: SA, KE, Nonce") and lines[0].endswith("-->")
    assert lines[3].strip() == "<-- IKE_AUTH response 1: SK"
