"""Commands, time and what is seen of a host."""

import pytest

import imago
from conftest import PING, make_pair


def test_a_tunnel_comes_up_and_everything_of_it_can_be_seen(up):
    for host, role in ((up.a, "initiator"), (up.b, "responder")):
        sa, = host.ike_sas
        child, = sa.child_sas
        assert (sa.connection, sa.state, sa.role) == ("tunnel", "established", role)
        assert sa.name == f"{host.name}.ike_sa.1"
        assert (child.name, child.state, child.mode) == ("net", "installed", "tunnel")
        assert {one.spi for one in host.kernel.sas} == {child.inbound_spi, child.outbound_spi}
        assert {one.direction for one in host.kernel.sas} == {"inbound", "outbound"}
        assert [one.reqid for one in host.kernel.policies] == [child.reqid]
        assert (host.kernel.sa_count, host.kernel.policy_count, host.kernel.larval_count) == (2, 1, 0)
        assert host.exchanges == [] and host.problems == []
    ours, theirs = up.a.ike_sas[0], up.b.ike_sas[0]
    assert (ours.initiator_spi, ours.responder_spi) == (theirs.initiator_spi, theirs.responder_spi)
    assert ours.child_sas[0].inbound_spi == theirs.child_sas[0].outbound_spi
    assert ours.child_sas[0].local_selectors == theirs.child_sas[0].remote_selectors == ["10.1.0.0/16"]
    assert ours.remote_identity == "b.example" and ours.algorithms
    keys = {one.spi: one.key_fingerprint for one in up.a.kernel.sas}
    assert keys == {one.spi: one.key_fingerprint for one in up.b.kernel.sas}
    assert [(one.name, one.children) for one in up.a.connections] == [("tunnel", ["net"])]


def test_the_journal_is_facts_with_fields_and_lines(up):
    facts = [one for one in up.a.journal if one.name == "ike_sa_established"]
    names = {one.name for one in up.a.journal}
    assert facts, names
    assert facts[0].connection == "tunnel" and facts[0].line in up.world.journal
    assert facts[0].seconds >= 1 and facts[0].group == "ike"


def test_the_same_seed_gives_the_same_journal_and_another_another():
    def journal(seed):
        made = make_pair(seed)
        made.a.initiate("tunnel", "net").wait()
        made.world.advance(10)
        text = made.world.journal + "".join(one.octets.hex() for one in made.world.network.sent)
        made.world.close()
        return text

    first = journal(7)
    assert len(first) > 2000
    assert first == journal(7) != journal(8)


def test_a_rekey_makes_a_new_child_and_a_terminate_leaves_nothing(up):
    old = up.a.ike_sas[0].child_sas[0].inbound_spi
    command = up.b.rekey("tunnel", "net")
    command.wait()
    assert command.matches == 1
    up.world.advance(30)
    new, = up.a.ike_sas[0].child_sas
    assert new.inbound_spi != old
    up.b.terminate("tunnel").wait()
    up.world.advance(10)
    assert up.a.ike_sas == [] and up.b.ike_sas == []
    assert up.a.kernel.sas == [] and up.a.kernel.policies == []


def test_a_command_that_fails_says_why(pair):
    pair.world.network.link(loss=1)
    command = pair.a.initiate("tunnel", "net")
    assert not command.done and command.error is None
    with pytest.raises(imago.CommandFailed, match="initiate tunnel net of a: .*does not answer") as raised:
        command.wait(seconds=600)
    assert raised.value.code == "peer_unreachable"
    assert command.done and command.error.code == "peer_unreachable"
    with pytest.raises(imago.CommandFailed, match="nothing|not exist|not_found|no "):
        pair.a.initiate("nothing", "at all").wait()
    with pytest.raises(imago.CommandFailed, match="no SA fits"):
        pair.a.rekey("tunnel", "net").wait()


def test_a_wait_that_is_too_short_says_where_to_look(pair):
    pair.world.network.hold()
    command = pair.a.initiate("tunnel", "net")
    with pytest.raises(imago.TimedOut, match="world.network.waiting"):
        command.wait(seconds=1)


def test_run_until_takes_a_predicate_or_the_name_of_an_event(pair):
    pair.a.initiate("tunnel", "net")
    pair.world.run_until("child_up", seconds=5)
    pair.world.run_until(lambda: len(pair.b.kernel.sas) == 2, seconds=5)
    pair.world.run()
    pair.b.rekey("tunnel", "net")
    pair.world.run_until("child_rekeyed", seconds=5)
    began = pair.world.now
    with pytest.raises(imago.TimedOut, match=r"'no_such_thing' did not happen within 3.*child_up"):
        pair.world.run_until("no_such_thing", seconds=3)
    assert pair.world.now == pytest.approx(began + 3)
    with pytest.raises(imago.TimedOut, match="predicate"):
        pair.world.run_until(lambda: False, seconds=3)


def test_what_a_predicate_raises_comes_out_of_run_until(pair):
    pair.a.initiate("tunnel", "net")
    with pytest.raises(ZeroDivisionError):
        pair.world.run_until(lambda: 1 / 0)
    pair.world.run()
    assert pair.a.ike_sas[0].state == "established"


def test_time_is_virtual_and_timers_fire_in_it(pair):
    pair.world.network.link(loss=1)
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert len(pair.world.network.sent) == 1
    pair.world.advance(10)
    assert len(pair.world.network.sent) > 3
    assert pair.world.now == pytest.approx(11)


@pytest.mark.parametrize("kind", ["exchange", "ike_sa", "child_sa", "connection"])
def test_a_kill_takes_the_actor_and_what_it_owned(up, kind):
    up.a.rekey("tunnel", "net")
    up.world.run_until(lambda: up.a.exchanges)
    doomed = set(up.a.actors(kind))
    assert up.a.kill(kind) == len(doomed) >= 1
    up.world.advance(300)
    assert not doomed & set(up.a.actors(kind))
    assert up.a.problems == [] and up.a.exchanges == []
    if kind != "child_sa":  # whose IKE SA does not notice
        assert up.a.kernel.sa_count == sum(2 * len(sa.child_sas) for sa in up.a.ike_sas)
    with pytest.raises(ValueError, match="none of exchange, ike_sa"):
        up.a.kill("engine")


def test_an_act_happens_when_its_letter_is_delivered(up):
    seen = []
    up.world.happen("storm", lambda: seen.append(up.a.kill("ike_sa")))
    letter, = up.world.letters(name="act")
    assert letter.receiver.endswith(".storm") and seen == []
    up.world.run()
    assert seen == [1] and up.a.ike_sas == []


def test_packets_go_through_user_space_esp():
    made = make_pair(data_plane="user-esp")
    made.a.initiate("tunnel", "net").wait()
    made.world.run()
    made.a.send_packet(PING)
    letter, = made.world.letters(receiver="b.esp*")  # a datagram that arrives is a choice, too
    assert made.b.received == []
    made.world.deliver(letter)
    assert made.b.received == [PING]
    esp = made.world.network.sent[-1]
    assert esp.is_esp and esp.spi == made.b.ike_sas[0].child_sas[0].inbound_spi and esp.sequence == 1
    made.world.network.inject(esp.source, esp.destination, esp, is_esp=True)
    made.world.run()
    assert made.b.kernel.drops == {"replayed": 1}
    assert made.b.kernel.sa_count == 2
    with pytest.raises(imago.NotSupported, match="data_plane='fake'"):
        made.b.kernel.fault("install_sa")
    made.world.close()


def test_packets_need_a_data_plane_that_carries_them(up):
    with pytest.raises(imago.NotSupported, match="user-esp"):
        up.a.send_packet(PING)


def test_options_of_the_engine_and_wrong_ones():
    world = imago.World()
    ours, _ = imago.psk_pair()
    a = world.add_host("a", ["192.0.2.1", "2001:db8::1"], ours,
                       options={"retransmit_tries": 1, "retransmit_delay": 1}, journal=None)
    command = a.initiate("tunnel", "net")
    with pytest.raises(imago.CommandFailed, match="does not answer"):
        command.wait()
    assert len(world.network.sent) == 2
    assert a.journal == []
    for wrong in ({"options": {"magic": 1}}, {"data_plane": "xfrm"}, {"journal": "loud"}, {"address": "here"},
                  {"name": "a"}):
        with pytest.raises(ValueError):
            world.add_host(**{"name": "c", "address": "192.0.2.3", **wrong})
    with pytest.raises(imago.NotFound, match="no host 'z'; the world has a"):
        world.host("z")
    assert [one.name for one in world.hosts] == ["a"] and world.host("a").address == "192.0.2.1"
    world.close()


def test_a_stopped_engine_deletes_what_it_has(up):
    up.a.stop()
    up.world.advance(10)
    assert up.b.ike_sas == [] and up.b.kernel.sas == []


def test_the_wall_clock_can_be_set_and_nothing_else_notices(up):
    before = up.world.now
    up.world.step_wall_clock(-86400)
    up.world.advance(5)
    assert up.world.now == pytest.approx(before + 5)
    assert up.a.ike_sas[0].state == "established"
