#!/usr/bin/python3
"""A network that loses, doubles, spoils and reorders: RFC 7296 §2.1, retransmission.

   Initiator                         Responder
   -------------------------------------------------------------------
   HDR, SAi1, KEi, Ni  --> x
      a time-out later, octet for octet the same:
   HDR, SAi1, KEi, Ni  -->
                              x <--  HDR, SAr1, KEr, Nr
   HDR, SAi1, KEi, Ni  -->           answered again, with the same octets
                                <--  HDR, SAr1, KEr, Nr
"""

from collections import Counter

import imago


def tunnels_come_up(seed, **conditions):
    with imago.World(seed=seed) as world:
        ours, theirs = imago.psk_pair()
        a = world.add_host("a", "192.0.2.1", ours)
        b = world.add_host("b", "192.0.2.2", theirs)
        world.network.link(**conditions)
        a.initiate("tunnel", "net").wait(seconds=600)
        b.rekey("tunnel", "net")
        world.advance(600)
        sent = Counter((one.sender, one.label, one.octets) for one in world.network.sent)
        # Who says it again says the same: one version of each request and response.
        versions = Counter((sender, label, octets[:16]) for sender, label, octets in sent if "INIT" not in label)
        assert set(versions.values()) == {1}, versions
        assert len(a.ike_sas) == len(b.ike_sas) == 1
        assert a.kernel.sa_count == b.kernel.sa_count == 2
        return sum(sent.values()) - len(sent), world.now


for seed in range(1, 6):
    repeated, now = tunnels_come_up(seed, delay=0.05, jitter=0.3, loss=0.25, duplication=0.2, corruption=0.1)
    print(f"seed {seed}: up, rekeyed and quiet; {repeated} datagrams were sent again")
