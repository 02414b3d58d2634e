"""Two peers in a world, for every test of the module."""

from types import SimpleNamespace

import pytest

import imago

# An ICMP echo from 10.1.0.1 to 10.2.0.1, and the same the other way.
PING = bytes.fromhex("4500002000010000400166d80a0100010a0200010800f7ff0000000000000000")
PONG = bytes.fromhex("4500002000010000400166d80a0200010a0100010800f7ff0000000000000000")


def two_peers(world, **options):
    ours, theirs = imago.psk_pair()
    return (world.add_host("a", "192.0.2.1", ours, **options),
            world.add_host("b", "192.0.2.2", theirs, **options))


def make_pair(seed=7, **options):
    world = imago.World(seed=seed)
    a, b = two_peers(world, **options)
    return SimpleNamespace(world=world, a=a, b=b)


@pytest.fixture
def pair():
    made = make_pair()
    yield made
    made.world.close()


@pytest.fixture
def up():
    """With an IKE SA and its Child SA."""
    made = make_pair()
    made.a.initiate("tunnel", "net").wait()
    made.world.run()
    yield made
    made.world.close()
