#!/usr/bin/python3
"""Both peers rekey the same Child SA at once: RFC 7296 §2.8.1.

   Host A                              Host B
   -------------------------------------------------------------------
   send req1: N(REKEY_SA,SPIa1),
      SA(..,SPIa2,..),Ni1,..   -->
                                  <--  send req2: N(REKEY_SA,SPIb1),
                                          SA(..,SPIb2,..),Ni2
   recv req2 <--                  -->  recv req1
   ... both have two new Child SAs; the one with the lowest nonce is redundant and is deleted by its maker.
"""

import imago

with imago.World(seed=7) as world:
    ours, theirs = imago.psk_pair()
    a = world.add_host("a", "192.0.2.1", ours)
    b = world.add_host("b", "192.0.2.2", theirs)
    a.initiate("tunnel", "net").wait()
    world.run()
    first = a.ike_sas[0].child_sas[0].inbound_spi
    seen = len(world.network.sent)

    world.network.hold()  # neither hears of the other's request before it has sent its own
    a.rekey("tunnel", "net")
    b.rekey("tunnel", "net")
    world.run()
    crossing = world.network.waiting
    assert [(one.sender, one.exchange) for one in crossing] == [("a", "CREATE_CHILD_SA"), ("b", "CREATE_CHILD_SA")]
    world.network.release()
    world.run()
    print(imago.ladder(world.network.sent[seen:]))

    world.advance(60)
    left = [child.inbound_spi for child in a.ike_sas[0].child_sas]
    assert len(left) == len(b.ike_sas[0].child_sas) == 1 and left != [first]
    assert a.kernel.sa_count == b.kernel.sa_count == 2
    print(f"one Child SA is left, and it is new: {first:08x} -> {left[0]:08x}")

found = imago.explore("child-rekey-collision", strategy="random", schedules=300)
assert found.violation is None
print(f"and in {found.schedules} other orders of delivery it is the same")
