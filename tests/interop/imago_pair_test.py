#!/usr/bin/env python3
"""Imago against itself, each in a network namespace of its own: what charon's kernel-libipsec cannot do.

Transport mode, extended sequence numbers, IPv6 outside and inside.
"""

import os
import signal
import sys
import unittest

from libcases import PairCase
from libconfig import AES_CBC, AES_GCM, CHACHA20, configuration
from libpeers import INSIDE, NETWORK, WIRE, Imagod, prepare
from libtraffic import Flood, Wire

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from libprograms import KEPT_MOST, run, thread_states, wait_until  # noqa: E402

HOSTS = {"local_ts": "dynamic", "remote_ts": "dynamic", "child": "mode = transport"}


class ImagoPair(PairCase):
    def pair(self, west=None, east=None, **both):
        self.start(Imagod(self.lab, "west", configuration("west", **{**both, **(west or {})})),
                   Imagod(self.lab, "east", configuration("east", **{**both, **(east or {})})))

    def up(self, addresses=None, **options):
        self.pair(**options)
        self.west.initiate()
        self.assert_tunnel(addresses)

    def flood_and_rekey(self, addresses, kinds, who=("west", "east")):
        """Rekeys of both kinds by both sides; not one datagram is lost, and only `kinds` cross the wire."""
        with Wire(self.lab) as wire, Flood(self.lab, addresses) as flood:
            for name in who:
                for kind in ("child", "ike"):
                    self.rekey(name, kind)
        print(f"rekeys by {who}: {flood.sent} sent, lost {flood.lost}; on the wire {wire.kinds}")
        self.assertEqual(set(flood.lost.values()), {0})
        self.assertEqual(set(wire.kinds) - {"arp", "neighbours"}, kinds)

    def finish(self, who="east"):
        self.peer[who].terminate("ike", "t")
        self.assert_nothing()
        self.end()


class Privileges(ImagoPair):
    def test_a_tunnel_comes_up_and_is_rekeyed_in_the_sandbox(self):
        """Every thread of both, before, with and after a tunnel: two capabilities, no new ones, a filter."""
        self.pair()
        self.assert_confined()
        self.west.initiate()
        self.assert_tunnel()
        self.assert_confined()
        for name in ("west", "east"):
            for kind in ("child", "ike"):
                self.rekey(name, kind)
        self.assert_tunnel()
        self.west.process.send_signal(signal.SIGHUP)
        self.west.wait_for_log("configuration loaded")
        self.assert_tunnel()
        self.assert_confined()
        self.finish()

    def assert_confined(self):
        for daemon in (self.west, self.east):
            has_sanitizer = "this build has a sanitizer" in daemon.wait_for_log("privileges dropped.*").group()
            for state in thread_states(daemon.process.pid):
                for name in ("CapPrm", "CapEff", "CapBnd"):
                    self.assertEqual(int(state[name], 16), KEPT_MOST, state)
                self.assertEqual((state["NoNewPrivs"], state["Seccomp"]), ("1", "0" if has_sanitizer else "2"), state)


class Modes(ImagoPair):
    def test_transport_mode(self):
        """Packets between the hosts' own addresses; IKE itself does not go into the tunnel."""
        self.up(WIRE[4], **HOSTS)
        self.assertEqual(self.west.installed()[0]["mode"], "TRANSPORT")
        self.flood_and_rekey(WIRE[4], {"ESP in IPv4", "IKE in IPv4"})
        self.finish()

    def test_transport_mode_in_ipv6(self):
        self.up(WIRE[6], outside=6, **HOSTS)
        self.assertEqual(self.west.installed()[0]["mode"], "TRANSPORT")
        self.flood_and_rekey(WIRE[6], {"ESP in IPv6", "IKE in IPv6"})
        self.finish()

    def test_transport_mode_for_one_protocol_and_port(self):
        """What the selectors leave out is dropped, not sent in the clear."""
        port = f"dynamic[udp/{Flood.PORT}]"
        self.pair(child="mode = transport", west={"local_ts": "dynamic[udp]", "remote_ts": port},
                  east={"local_ts": port, "remote_ts": "dynamic[udp]"})
        self.west.initiate()
        self.flood_and_rekey(WIRE[4], {"ESP in IPv4", "IKE in IPv4"})
        self.assertRaises(AssertionError, self.lab.ping, "west", WIRE[4], 1)
        self.finish()

    def test_transport_mode_is_not_silently_another(self):
        """RFC 7296 section 1.3.1: the responder may decline it; the initiator does not accept that."""
        self.pair(local_ts="dynamic", remote_ts="dynamic", west={"child": "mode = transport"})
        self.assertNotEqual(self.west.initiate(is_checked=False).returncode, 0)
        self.assert_up(child_count=0)
        self.finish()


class Families(ImagoPair):
    def check(self, outside, inside, proposals):
        self.up(INSIDE[inside], outside=outside, inside=inside, proposals=proposals)
        self.flood_and_rekey(INSIDE[inside], {f"ESP in IPv{outside}", f"IKE in IPv{outside}"})
        self.lab.ping("west", INSIDE[inside], size=1200)
        self.lab.ping("east", INSIDE[inside], size=4000)  # in fragments
        self.finish()

    def test_ipv4_in_ipv4(self):
        self.check(4, 4, AES_GCM)

    def test_ipv6_in_ipv6(self):
        self.check(6, 6, AES_GCM)

    def test_ipv6_in_ipv4(self):
        self.check(4, 6, AES_CBC)

    def test_ipv4_in_ipv6(self):
        self.check(6, 4, CHACHA20)

    def test_both_families_in_one_child_sa(self):
        selectors = {name: ", ".join(NETWORK[family][name] for family in (4, 6)) for name in ("west", "east")}
        self.pair(west={"local_ts": selectors["west"], "remote_ts": selectors["east"]},
                  east={"local_ts": selectors["east"], "remote_ts": selectors["west"]})
        self.west.initiate()
        self.assert_tunnel(INSIDE[4])
        self.assert_tunnel(INSIDE[6])
        self.finish()


class SequenceNumbers(ImagoPair):
    def check_esn(self, west, east, has_esn):
        self.up(west={"proposals": (AES_GCM[0], west)}, east={"proposals": (AES_GCM[0], east)})
        for daemon in (self.west, self.east):
            self.assertEqual(daemon.installed()[0].get("esn", "0"), "1" if has_esn else "0")
        self.flood_and_rekey(None, {"ESP in IPv4", "IKE in IPv4"})
        for daemon in (self.west, self.east):
            self.assertEqual(daemon.installed()[0].get("esn", "0"), "1" if has_esn else "0")
        self.finish()

    def test_extended_sequence_numbers_with_aes_gcm(self):
        self.check_esn("aes128gcm16-x25519-esn", "aes128gcm16-x25519-esn", True)

    def test_extended_sequence_numbers_with_aes_cbc(self):
        """Their high half is authenticated but not sent, RFC 4303 section 2.2.1."""
        self.check_esn("aes256-sha256-x25519-esn", "aes256-sha256-x25519-esn", True)

    def test_one_side_leaves_the_choice_to_the_other(self):
        self.check_esn("aes128gcm16-x25519-esn-noesn", "aes128gcm16-x25519-noesn", False)

    def test_no_agreement_on_sequence_numbers(self):
        self.pair(west={"proposals": (AES_GCM[0], "aes128gcm16-x25519-esn")})
        self.assertNotEqual(self.west.initiate(is_checked=False).returncode, 0)
        self.assert_up(child_count=0)
        self.finish()


class Traffic(ImagoPair):
    def test_a_wide_replay_window(self):
        self.up(child="replay_window = 1024")
        self.flood_and_rekey(None, {"ESP in IPv4", "IKE in IPv4"}, who=("west",))
        self.finish()

    def test_what_meets_a_trap_waits_for_its_sa(self):
        """The packet that asks for the SA is the first that leaves on it. Of ping, one lost packet fails."""
        self.pair(west={"child": "start_action = trap"})
        wait_until(lambda: "net" in self.west.swanctl("--list-pols").stdout, "the trap is installed")
        run(*self.lab.inside("west", "ping", "-n", "-q", "-c", "1", "-W", "10", "-I", INSIDE[4]["west"], INSIDE[4]["east"]))
        self.assert_tunnel()
        self.finish()

    def test_a_start_action_needs_no_command(self):
        self.pair(west={"child": "start_action = start"})
        wait_until(lambda: self.west.installed(), "the Child SA is up")
        self.assert_tunnel()
        self.finish()

    def test_lifetime_in_packets_starts_a_rekey(self):
        """The soft limit: the Child SA is replaced before it ends, and nothing is lost."""
        self.up(west={"child": "rekey_packets = 100\n        life_packets = 100000\n        rand_packets = 0"})
        before = self.spis()[1]
        with Flood(self.lab) as flood:
            flood.wait_for_answers(300)
            self.assert_up()
        self.assertFalse(before & self.spis()[1])
        self.assertEqual(set(flood.lost.values()), {0})
        self.finish()

    def test_deletes_by_either_side_leave_nothing(self):
        for who in ("west", "east"):
            with self.subTest(who):
                if who == "west":
                    self.up()
                else:
                    self.peer[who].initiate()
                    self.assert_tunnel()
                self.peer[who].terminate("child", "net")
                self.assert_up(child_count=0)
                self.peer[who].terminate("ike", "t")
                self.assert_nothing()
        self.end()


if __name__ == "__main__":
    prepare(needs_charon=False)
    unittest.main(verbosity=2)
