"""Letters between actors: every order, hold, drop, duplicate, by hand and by rule."""

import pytest

import imago


def test_a_letter_says_what_it_is_and_step_takes_the_oldest(pair):
    pair.a.initiate("tunnel", "net")
    letter = pair.world.letters()[0]
    assert (letter.name, letter.sender, letter.receiver) == ("initiate_sa", "a.user", "a.engine.1")
    assert letter.is_waiting and letter.is_deliverable and not letter.is_held
    taken = pair.world.step()
    assert taken.id == letter.id and not letter.is_waiting
    with pytest.raises(imago.NotFound, match="delivered or dropped already"):
        letter.deliver()
    pair.world.run()
    assert pair.world.step() is None and pair.world.letters() == []


def test_letters_are_found_by_patterns(up):
    up.b.rekey("tunnel", "net")
    up.world.run_until(lambda: up.world.letters(name="kernel_*", sender="b.exchange.*"))
    found = up.world.letters(name="kernel_*", sender="b.exchange.*", receiver="b.kernel.*")
    assert {one.name for one in found} == {"kernel_request"}
    assert up.world.letters(name="nothing*") == []


def test_a_held_letter_waits_while_all_else_goes_on(pair):
    pair.a.initiate("tunnel", "net")
    letter, = pair.world.letters(name="initiate_sa")
    letter.hold()
    pair.world.run()
    assert letter.is_waiting and letter.is_held and pair.a.ike_sas == []
    pair.world.release(letter)
    pair.world.run()
    assert pair.a.ike_sas[0].state == "established"


def test_another_letter_may_be_first_but_not_of_the_same_channel(up):
    up.a.rekey("tunnel", "net")
    up.a.terminate("tunnel", "net")
    rekey, terminate = up.world.letters(sender="a.user")
    assert not terminate.is_deliverable
    with pytest.raises(imago.Error, match="behind an earlier letter of the same sender"):
        terminate.deliver()
    up.b.terminate("tunnel", "net")
    other, = up.world.letters(sender="b.user")
    up.world.deliver(other)  # sent last, delivered first
    assert rekey.is_waiting and not other.is_waiting


def test_a_dropped_letter_never_arrives(pair):
    command = pair.a.initiate("tunnel", "net")
    letter, = pair.world.letters(name="initiate_sa")
    pair.world.drop(letter)
    pair.world.run()
    assert not letter.is_waiting and pair.a.ike_sas == [] and not command.done


def test_a_duplicate_is_a_second_one_right_behind(pair):
    pair.a.initiate("tunnel", "net")
    letter, = pair.world.letters(name="initiate_sa")
    assert letter.is_copyable
    copy = pair.world.duplicate(letter)
    assert (copy.name, copy.sender, copy.receiver) == (letter.name, letter.sender, letter.receiver)
    assert copy.id != letter.id and not copy.is_deliverable
    pair.world.run()
    assert pair.a.problems == [] and pair.b.problems == []


@pytest.mark.parametrize("name, instead", [
    ("kernel_request", "kernel.fault"), ("backend_replied", "kernel.fault"), ("job_done", "crypto.hold"),
    ("commit_exchange", "network.duplicate")])
def test_what_owns_a_move_only_value_is_not_copied_and_the_error_says_what_to_do(pair, name, instead):
    pair.a.initiate("tunnel", "net")
    pair.world.run_until(lambda: pair.world.letters(name=name))
    letter = pair.world.letters(name=name)[0]
    assert not letter.is_copyable
    with pytest.raises(imago.NotCopyable, match=instead):
        letter.duplicate()
    with pytest.raises(imago.Error):
        pair.world.duplicate(letter)
    pair.world.run()
    assert pair.a.ike_sas[0].state == "established"


def test_a_start_cannot_be_dropped(pair):
    pair.a.initiate("tunnel", "net")
    pair.world.run_until(lambda: pair.world.letters(name="start"))
    with pytest.raises(imago.NotSupported, match="start"):
        pair.world.letters(name="start")[0].drop()


def test_a_rule_holds_what_fits(pair):
    rule = pair.world.on_letter("kernel_reply", receiver="b.exchange.*", action="hold", times=1)
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert rule.hits == 1
    held, = pair.world.letters(name="kernel_reply")
    assert held.is_held and held.receiver.startswith("b.exchange.")
    assert pair.a.ike_sas[0].state == "auth_sent"
    held.release()
    pair.world.run()
    assert pair.a.ike_sas[0].state == "established" and rule.hits == 1


def test_a_rule_drops_and_duplicates_and_is_removed(pair):
    drop = pair.world.on_letter("initiate_sa", action="drop")
    pair.a.initiate("tunnel", "net")
    assert drop.hits == 1 and pair.world.letters() == []
    drop.remove()
    double = pair.world.on_letter("receive_packet", receiver="b.demux.*", action="duplicate")
    pair.a.initiate("tunnel", "net").wait()
    assert double.hits >= 2 and drop.hits == 1
    assert pair.b.problems == []


def test_a_rule_asks_its_predicate(pair):
    asked = []

    def is_third(letter):
        asked.append(letter.name)
        return len(asked) == 3

    rule = pair.world.on_letter(where=is_third, action="hold")
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert rule.hits == 1 and len(asked) > 3
    assert [one.name for one in pair.world.letters() if one.is_held] == [asked[2]]


def test_a_rule_that_would_copy_what_cannot_be_raises_when_the_world_is_at_rest(pair):
    pair.world.on_letter("kernel_request", action="duplicate", times=1)
    pair.a.initiate("tunnel", "net")
    with pytest.raises(imago.NotCopyable, match="kernel.fault"):
        pair.world.run()
    pair.world.run()
    assert pair.a.ike_sas[0].state == "established"


def test_what_a_predicate_of_a_rule_raises_comes_out_of_the_call(pair):
    def broken(letter):
        raise LookupError(letter.name)

    rule = pair.world.on_letter("timer_due", where=broken, action="drop")
    pair.world.network.link(loss=1)
    pair.a.initiate("tunnel", "net")
    with pytest.raises(LookupError, match="timer_due"):
        pair.world.advance(5)
    rule.remove()
    pair.world.advance(5)


def test_the_world_cannot_be_changed_from_inside_a_rule(pair):
    refused = []

    def meddle(_):
        for act in (pair.world.step, pair.world.run, pair.world.close, lambda: pair.a.initiate("tunnel", "net"),
                    lambda: pair.world.advance(1), lambda: pair.a.kill("exchange"), pair.world.network.release):
            with pytest.raises(imago.WorldBusy) as raised:
                act()
            refused.append(str(raised.value))
        return pair.a.ike_sas and False  # looking is allowed

    pair.world.on_letter(where=meddle, times=1)
    pair.a.initiate("tunnel", "net")
    assert len(refused) >= 6
    assert "from inside a rule" in refused[0]


def test_wrong_arguments_are_named(pair):
    with pytest.raises(ValueError, match="'explode' is none of hold"):
        pair.world.on_letter("kernel_reply", action="explode")
    with pytest.raises(TypeError, match="a function is wanted"):
        pair.world.on_letter("kernel_reply", where="always")
