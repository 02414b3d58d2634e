#!/usr/bin/python3
"""A plain tunnel, as RFC 7296 §1.2 draws it, and a packet through it.

   Initiator                         Responder
   -------------------------------------------------------------------
   HDR, SAi1, KEi, Ni  -->
                                <--  HDR, SAr1, KEr, Nr, [CERTREQ]
   HDR, SK {IDi, AUTH, SAi2, TSi, TSr}  -->
                                <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr}
"""

import imago

PING = bytes.fromhex("45000020000100004001" "66d8" "0a010001" "0a020001" "0800f7ff00000000" "00000000")

with imago.World(seed=7) as world:
    ours, theirs = imago.psk_pair()
    a = world.add_host("a", "192.0.2.1", ours, data_plane="user-esp")
    b = world.add_host("b", "192.0.2.2", theirs, data_plane="user-esp")

    a.initiate("tunnel", "net").wait()
    print(imago.ladder(world.network.sent))

    sa, = a.ike_sas
    child, = sa.child_sas
    print(f"{sa.connection}: {sa.state}, {sa.algorithms}")
    print(f"{child.name}: {child.state}, {child.local_selectors[0]} === {child.remote_selectors[0]}")

    world.run()  # the responder installs its outbound SA
    a.send_packet(PING)
    world.run()
    assert b.received == [PING]
    print(f"a packet of {len(PING)} octets came out at b")

    a.terminate("tunnel").wait()
    world.run()
    assert a.ike_sas == b.ike_sas == []
    assert a.kernel.sa_count == b.kernel.sa_count == 0
    print("and nothing is left")
