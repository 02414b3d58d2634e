"""Exploration of the scenarios of world/ and of a script's own."""

import pytest

import imago
from conftest import two_peers


def test_a_named_scenario_is_explored_at_random_and_by_priorities():
    assert "child-rekey-collision" in imago.scenarios()
    for strategy in ("random", "pct"):
        found = imago.explore("child-rekey-collision", strategy=strategy, schedules=50, seed=3)
        assert (found.scenario, found.strategy, found.schedules) == ("child-rekey-collision", strategy, 50)
        assert found.violation is None and not found.covered
        assert found.deliveries > 50 * 20 and found.longest > 20 and found.seconds > 0


def test_a_replay_tells_every_delivery_and_the_journal():
    seen = imago.replay("child-delete")
    assert seen.violation is None and len(seen.steps) == seen.deliveries > 5
    assert "terminate_sas from a.user to a.engine.1" in seen.steps[0]
    assert seen.journal


def up():
    world = imago.World(seed=1)
    a, _ = two_peers(world)
    a.initiate("tunnel", "net").wait()
    world.run()
    return world


def kill_the_child(world):
    world.host("a").rekey("tunnel", "net")
    world.happen("kill", lambda: world.host("b").kill("exchange"))


def test_a_scenario_of_a_script_holds_in_every_order_that_was_tried():
    def expect(world):
        assert len(world.host("a").ike_sas) <= 1, "IKE SAs multiply"

    mine = imago.Scenario("rekey-and-kill", up, kill_the_child, expect, settles=300, story="b loses its exchange")
    found = imago.explore(mine, strategy="random", schedules=30)
    assert found.violation is None, found.violation.script
    assert (found.scenario, found.schedules) == ("rekey-and-kill", 30)


def test_a_violation_is_reduced_and_its_schedule_replays_it():
    orders = {}

    def begin(world):
        seen = orders[id(world)] = []
        world.happen("early", lambda: seen.append("early"))
        world.happen("late", lambda: seen.append("late"))

    def expect(world):
        seen = orders.pop(id(world))
        assert seen == ["early", "late"], f"in the order {seen}"

    mine = imago.Scenario("order", up, begin, expect)
    found = imago.explore(mine, strategy="random", schedules=100)
    assert found.violation is not None and found.schedules < 100
    assert found.violation.what == "in the order ['late', 'early']"
    assert found.violation.schedule == "0:1"
    assert "scenario order" in found.violation.script and "schedule 0:1" in found.violation.script
    assert imago.replay(mine, found.violation.schedule).violation == found.violation.what
    assert imago.replay(mine).violation is None


@pytest.mark.parametrize("broken", ["make", "begin", "expect", "act"])
def test_what_a_scenario_raises_comes_out_of_explore(broken):
    def fail(*_):
        raise KeyError(broken)

    parts = {"make": up, "begin": kill_the_child, "expect": None}
    if broken == "act":
        parts["begin"] = lambda world: world.happen("broken", fail)
    else:
        parts[broken] = fail
    if broken == "expect":
        parts["begin"] = lambda world: None
    mine = imago.Scenario("broken", **parts)
    with pytest.raises(KeyError, match=broken):
        imago.explore(mine, strategy="random", schedules=3)
    assert imago.explore("child-delete", strategy="random", schedules=3).violation is None


def test_a_scenario_that_gives_no_new_world_is_refused():
    world = up()
    with pytest.raises(imago.Error, match="new world each time"):
        imago.explore(imago.Scenario("same", lambda: world, lambda _: None), strategy="random", schedules=2)
    with pytest.raises(TypeError, match="returns an imago.World"):
        imago.explore(imago.Scenario("none", lambda: None, lambda _: None), schedules=2)
    with pytest.raises(TypeError, match="make and begin are functions"):
        imago.Scenario("nothing", None, None)


def test_a_world_that_was_explored_is_gone_afterwards():
    worlds = []

    def make():
        worlds.append(up())
        return worlds[-1]

    imago.explore(imago.Scenario("kept", make, lambda world: None), strategy="random", schedules=2)
    assert len(worlds) == 2
    with pytest.raises(imago.WorldGone):
        worlds[0].step()


def test_wrong_arguments_are_named():
    with pytest.raises(imago.NotFound, match="imago.scenarios"):
        imago.explore("no-such-thing")
    with pytest.raises(ValueError, match="'magic' is none of exhaustive"):
        imago.explore("child-delete", strategy="magic")
    with pytest.raises(ValueError, match="schedule is 'in-order'"):
        imago.replay("child-delete", "37-4")
    with pytest.raises(TypeError, match="a scenario is wanted"):
        imago.replay(7)
