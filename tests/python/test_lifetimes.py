"""A view whose world is gone raises; nothing a script does ends the interpreter."""

import gc
import threading
import weakref

import pytest

import imago
from conftest import make_pair, two_peers


def everything_of(made):
    """One of each kind of view, with something to ask it."""
    made.a.initiate("tunnel", "net")
    made.world.network.hold()
    made.world.run()
    command = made.a.rekey("tunnel", "net")
    letter = made.world.letters()[0]
    datagram = made.world.network.waiting[0]
    rule = made.world.on_letter("nothing", where=lambda one: False)
    network, host, kernel, crypto = made.world.network, made.a, made.a.kernel, made.a.crypto
    return {
        "letters": made.world.letters, "step": made.world.step, "run": made.world.run, "hosts": lambda: made.world.hosts,
        "journal of the world": lambda: made.world.journal, "now": lambda: made.world.now,
        "add_host": lambda: made.world.add_host("c", "192.0.2.3"), "happen": lambda: made.world.happen("x", print),
        "command": lambda: command.done, "command's error": lambda: command.error, "wait": command.wait,
        "deliver": letter.deliver, "hold": letter.hold, "drop": letter.drop, "duplicate": letter.duplicate,
        "is_waiting": lambda: letter.is_waiting, "remove": rule.remove,
        "network": lambda: network.waiting, "inject": lambda: network.inject("192.0.2.1:500", "192.0.2.2:500", b"x"),
        "deliver a datagram": lambda: network.deliver(datagram), "alter": lambda: network.alter(datagram, b""),
        "rule of datagrams": lambda: network.on_datagram("x"), "link": lambda: network.link(loss=1),
        "host": lambda: host.ike_sas, "initiate": lambda: host.initiate("tunnel", "net"), "kill": lambda: host.kill("ike_sa"),
        "journal": lambda: host.journal, "load": lambda: host.load("connections { }"), "problems": lambda: host.problems,
        "kernel": lambda: kernel.sas, "fault": lambda: kernel.fault("install_sa"), "crypto": lambda: crypto.waiting,
        "perform": crypto.perform,
    }, (letter, datagram, command, host)


def test_every_view_of_a_closed_world_raises():
    made = make_pair()
    asked, views = everything_of(made)
    made.world.close()
    assert not made.world.is_open
    made.world.close()
    for name, ask in asked.items():
        with pytest.raises(imago.WorldGone, match="the world is gone"):
            pytest.fail(f"{name} gave {ask()!r}")
    assert all(repr(one) for one in views) and views[1].octets


def test_views_of_a_collected_world_raise():
    made = make_pair()
    a, network = made.a, made.world.network
    del made
    gc.collect()
    with pytest.raises(imago.WorldGone, match="keep it in a variable"):
        print(a.ike_sas)
    with pytest.raises(imago.WorldGone):
        print(network.sent)


def test_a_world_whose_rules_know_it_is_collected():
    class Marker:
        pass

    world = imago.World()
    a, _ = two_peers(world)
    marker = Marker()
    world.on_letter(where=lambda one, world=world, marker=marker: False)
    world.happen("later", lambda world=world, marker=marker: None)
    gone = weakref.ref(marker)
    del world, marker
    gc.collect()
    assert gone() is None
    with pytest.raises(imago.WorldGone):
        print(a.journal)


def test_several_worlds_live_side_by_side_and_end_in_any_order():
    first, second = make_pair(1), make_pair(2)
    third = make_pair(1)
    for made in (first, second, third):
        made.a.initiate("tunnel", "net")
    while first.world.step() and second.world.step():
        pass
    first.world.close()
    second.world.run()
    third.world.run()
    assert second.a.ike_sas[0].state == third.a.ike_sas[0].state == "established"
    second.b.rekey("tunnel", "net")
    third.world.close()
    second.world.advance(30)
    assert second.a.kernel.sa_count == 2
    second.world.close()


def test_one_world_is_made_inside_a_callback_of_another(pair):
    inner = []

    def act():
        made = make_pair()
        made.a.initiate("tunnel", "net").wait()
        inner.append(made.a.ike_sas[0].state)

    pair.world.happen("dream", act)
    pair.a.initiate("tunnel", "net").wait()
    pair.world.run()
    assert inner == ["established"] and pair.a.ike_sas[0].state == "established"


def test_a_world_may_lose_its_last_name_in_the_middle_of_a_call():
    worlds = [imago.World()]
    a, _ = two_peers(worlds[0])
    a.initiate("tunnel", "net")

    def drop_it():
        worlds.clear()
        gc.collect()
        return False

    with pytest.raises((imago.TimedOut, imago.WorldGone)):
        worlds[0].run_until(drop_it, seconds=1)
    gc.collect()
    with pytest.raises(imago.WorldGone):
        print(a.ike_sas)


def test_closing_from_inside_a_callback_is_refused(pair):
    def close():
        with pytest.raises(imago.WorldBusy):
            pair.world.close()
        return True

    pair.world.run_until(close)
    pair.world.happen("close", close)
    pair.world.run()
    assert pair.world.is_open


def test_a_world_belongs_to_its_thread(pair):
    outcome = []

    def other_thread():
        try:
            pair.world.run()
        except imago.Error as problem:
            outcome.append(str(problem))
        made = make_pair()
        made.a.initiate("tunnel", "net").wait()
        outcome.append(made.a.ike_sas[0].state)
        made.world.close()

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    assert "belongs to the thread that made it" in outcome[0] and outcome[1] == "established"
    pair.a.initiate("tunnel", "net").wait()


def test_a_world_ends_with_letters_held_dropped_and_acts_waiting():
    made = make_pair()
    made.world.on_letter("kill", action="drop")
    made.world.on_letter("start", action="drop")
    made.world.happen("never", lambda: pytest.fail("it was never delivered"))
    made.world.letters(name="act")[0].hold()
    made.a.initiate("tunnel", "net")
    made.world.run()
    made.a.kill("connection")
    made.b.crypto.hold()
    made.world.network.hold()
    made.world.close()


def test_every_error_is_an_imago_error():
    for name in ("ConfigError", "NotFound", "NotCopyable", "NotSupported", "WorldGone", "WorldBusy", "TimedOut",
                 "CommandFailed"):
        kind = getattr(imago, name)
        assert issubclass(kind, imago.Error) and kind.__doc__ and kind.__module__ == "imago"
