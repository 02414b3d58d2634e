#!/usr/bin/python3
"""ESP overtakes the message that makes it understood: the larval SA race.

   Initiator                         Responder
   -------------------------------------------------------------------
   HDR, SK {IDi, AUTH, SAi2, ..}  -->
      its inbound SA is larval: an SPI, no keys
                                     installs both SAs, answers, and sends at once
                                <--  HDR, SK {IDr, AUTH, SAr2, ..}     (slow)
                                <--  ESP                               (fast)
      ESP waits for the larval SA to be promoted, and is released then
"""

import imago

PING = bytes.fromhex("45000020000100004001" "66d8" "0a020001" "0a010001" "0800f7ff00000000" "00000000")

with imago.World(seed=7) as world:
    ours, theirs = imago.psk_pair()
    a = world.add_host("a", "192.0.2.1", ours, data_plane="user-esp")
    b = world.add_host("b", "192.0.2.2", theirs, data_plane="user-esp")

    world.network.on_datagram("IKE_AUTH response*", action="hold")
    command = a.initiate("tunnel", "net")
    world.run()
    slow, = world.network.waiting
    print(f"on the wire: {slow.label}; larval SAs of a: {a.kernel.larval_count}")

    b.send_packet(PING)
    world.run()
    assert a.received == [] and a.kernel.drops == {}
    print(f"the packet is faster: {world.network.sent[-1].label}; a has no keys yet, and drops nothing")

    world.network.deliver(slow)
    command.wait()
    world.run()
    assert a.received == [PING]
    assert a.kernel.larval_count == 0 and a.kernel.sa_count == 2
    print("the answer came, the SA is promoted, the packet came out: once, and not before")
