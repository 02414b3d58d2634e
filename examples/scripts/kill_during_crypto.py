#!/usr/bin/python3
"""A KILL while the Diffie-Hellman computation of a rekey is under way on another thread.

   Initiator                         Responder
   -------------------------------------------------------------------
   HDR, SK {SA, Ni, KEi}  -->
                                     crypto begins ...
                         KILL  -->   the exchange ends; its frame, md and secrets go
                                     ... the result comes late, and finds nobody
"""

import imago

with imago.World(seed=7) as world:
    ours, theirs = imago.psk_pair()
    a = world.add_host("a", "192.0.2.1", ours)
    b = world.add_host("b", "192.0.2.2", theirs)

    a.initiate("tunnel", "net").wait()
    b.crypto.hold()
    command = a.rekey("tunnel")
    world.run_until(lambda: b.crypto.waiting)
    exchange, = b.exchanges
    print(f"{exchange} waits for {b.crypto.waiting} crypto job; it owns the digest of the request")

    b.kill("exchange")
    world.run()
    assert b.exchanges == []
    print("killed: the exchange is gone, and with it the digest")

    b.crypto.release()
    late = world.letters(name="job_done")
    print(f"the result comes late: {late[0] if late else 'nobody is there to take it'}")
    world.run()
    assert b.problems == []

    command.wait(seconds=300)  # the initiator tries again, and is served
    world.run()
    assert [sa.state for sa in a.ike_sas] == ["established"]
    assert a.kernel.sa_count == b.kernel.sa_count == 2
    print("retransmitted, served, rekeyed: a kill leaves nothing behind")
