#!/usr/bin/env python3
"""Imago against strongSwan's charon (kernel-libipsec), each in a network namespace of its own.

West is Imago, east is charon. kernel-libipsec speaks tunnel mode in UDP without extended sequence
numbers; the rest is in imago_pair_test.py. IMAGO_LOG_LEVEL sets how much imagod tells.
"""

import tempfile
import unittest

from libcases import PairCase
from libconfig import AES_CBC, AES_GCM, CHACHA20, Authority, configuration
from libhalfopen import notify_kinds, open_half
from libpeers import PLUGINS, Charon, Imagod, prepare, wait_until
from libtraffic import Flood

COOKIE = 16390
AUTHORITIES = {}
made = tempfile.TemporaryDirectory(prefix="imago-interop-")  # certificates


def authority(kind):
    """Made once, at first use: RSA keys take their time."""
    if kind not in AUTHORITIES:
        AUTHORITIES[kind] = Authority(f"{made.name}/{kind}", kind.split("-")[0], has_intermediate="chain" in kind)
    return AUTHORITIES[kind]


class CharonCase(PairCase):
    def pair(self, west=None, east=None, settings="", plugins=PLUGINS, **both):
        """West and east: what only one of the configurations says. auth: "psk" or a kind of certificate."""
        texts, credentials = {}, {}
        for name, own in (("west", west), ("east", east)):
            options = {**both, **(own or {})}
            auth = options.get("auth", "psk")
            credentials[name] = None if auth == "psk" else authority(auth)
            texts[name] = configuration(name, **{**options, "auth": "psk" if auth == "psk" else "pubkey"})
        self.start(Imagod(self.lab, "west", texts["west"], credentials["west"]),
                   Charon(self.lab, "east", texts["east"], credentials["east"], settings, plugins))

    def up(self, who="west", **options):
        self.pair(**options)
        self.peer[who].initiate()
        self.assert_tunnel()


class Authentication(CharonCase):
    """Every kind of authentication and of keys, each side initiating and each side ending."""

    def check(self, who, auth, proposals, algorithms, **options):
        self.up(who, auth=auth, proposals=proposals, **options)
        ike = self.west.established()[0]
        child = self.west.installed()[0]
        self.assertEqual((ike["encr-alg"], ike["dh-group"], child["encr-alg"]), algorithms)
        self.assertEqual((ike["local-id"], ike["remote-id"]), ("west.test", "east.test"))
        self.assertEqual(ike.get("initiator", "no"), "yes" if who == "west" else "no")
        self.peer["east" if who == "west" else "west"].terminate("ike", "t")
        self.assert_nothing()
        self.end()

    GCM = ("AES_GCM_16", "CURVE_25519", "AES_GCM_16")
    CBC = ("AES_CBC", "ECP_256", "AES_CBC")

    def test_psk_and_aes_gcm_from_imago(self):
        self.check("west", "psk", AES_GCM, self.GCM)

    def test_psk_and_aes_gcm_from_charon(self):
        self.check("east", "psk", AES_GCM, self.GCM)

    def test_ecdsa_and_aes_cbc_from_imago(self):
        self.check("west", "ecdsa", AES_CBC, self.CBC)

    def test_ecdsa_and_aes_cbc_from_charon(self):
        self.check("east", "ecdsa", AES_CBC, self.CBC)

    def test_rsa_and_aes_gcm_from_imago(self):
        self.check("west", "rsa2048", AES_GCM, self.GCM)

    def test_rsa_and_aes_cbc_from_charon(self):
        self.check("east", "rsa2048", AES_CBC, self.CBC)

    def check_without_hash_algorithms(self, who, auth, method):
        """Then RFC 7427 does not apply, and the methods of RFC 7296 and RFC 4754 do."""
        self.check(who, auth, AES_GCM, self.GCM, settings="signature_authentication = no")
        self.assertRegex(self.east.log(), f"authentication of 'west.test' with {method} successful")

    def test_ecdsa_without_announced_hash_algorithms_from_imago(self):
        self.check_without_hash_algorithms("west", "ecdsa", "ECDSA-256 signature")

    def test_ecdsa_without_announced_hash_algorithms_from_charon(self):
        self.check_without_hash_algorithms("east", "ecdsa", "ECDSA-256 signature")

    def test_rsa_without_announced_hash_algorithms_from_imago(self):
        self.check_without_hash_algorithms("west", "rsa2048", "RSA signature")

    def test_rsa_without_announced_hash_algorithms_from_charon(self):
        self.check_without_hash_algorithms("east", "rsa2048", "RSA signature")

    def test_rsa_pss_from_imago(self):
        self.check("west", "rsa2048", AES_GCM, self.GCM, settings="rsa_pss = yes")
        self.assertRegex(self.east.log(), r"authentication of 'east.test' \(myself\) with RSA_EMSA_PSS")

    CHACHA20 = ("CHACHA20_POLY1305", "CURVE_25519", "CHACHA20_POLY1305")

    def test_chacha20_from_imago(self):
        self.check("west", "psk", CHACHA20, self.CHACHA20)

    def test_chacha20_from_charon(self):
        self.check("east", "psk", CHACHA20, self.CHACHA20)


class DefaultProposals(CharonCase):
    """Imago's own ESP proposals: a rekey without a key exchange, or with the one that the peer wants."""

    def check(self, who, at_charon):
        proposals = "aes128gcm16-prfsha256-x25519"
        self.up(west={"proposals": (proposals, "default")}, east={"proposals": (proposals, at_charon)})
        self.rekey(who, "child")
        self.lab.ping_both_ways()
        self.end()

    def test_default_of_charon_rekeyed_by_imago(self):
        self.check("west", "default")

    def test_default_of_charon_rekeyed_by_charon(self):
        self.check("east", "default")

    def test_forward_secrecy_of_charon_rekeyed_by_imago(self):
        self.check("west", "aes128gcm16-x25519")

    def test_forward_secrecy_of_charon_rekeyed_by_charon(self):
        self.check("east", "aes128gcm16-x25519")


UNNOTICED = "peer did not notice IKE_SA rekey collision"


class Rekeys(CharonCase):
    """During a steady flood of datagrams through the tunnel, both ways."""

    def rekey_in_flood(self, who, kind, lost_max):
        self.up()
        with Flood(self.lab) as flood:
            self.rekey(who, kind)
        print(f"rekey of the {kind} SA by {self.peer[who].__class__.__name__}: {flood.sent} sent, lost {flood.lost}")
        self.assertLessEqual(max(flood.lost.values()), lost_max)
        self.lab.ping_both_ways()
        self.end()

    def test_child_sa_by_imago_loses_nothing(self):
        self.rekey_in_flood("west", "child", 0)

    def test_ike_sa_by_imago_loses_nothing(self):
        self.rekey_in_flood("west", "ike", 0)

    def test_child_sa_by_charon(self):
        self.rekey_in_flood("east", "child", 0)

    def test_ike_sa_by_charon(self):
        self.rekey_in_flood("east", "ike", 0)

    def test_again_and_again_by_turns(self):
        self.up("east", proposals=AES_CBC)
        for who in ("west", "east", "west"):
            for kind in ("child", "ike"):
                self.rekey(who, kind)
                self.lab.ping_both_ways()
        self.end()

    def rekey_at_once(self, kind):
        """The requests cross on the wire: one SA of each kind is left, and packets pass."""
        self.up()
        before = self.spis()
        which = 0 if kind == "ike" else 1
        is_held = self.lab.hold_wire()
        for daemon in (self.west, self.east):
            daemon.rekey(kind, {"child": "net", "ike": "t"}[kind])
        for daemon in (self.west, self.east):
            daemon.wait_for_log(r"CREATE_CHILD_SA request")
        if is_held:
            self.lab.release_wire("west")
            # One direction first: charon's threads take two datagrams at once in any order, and
            # Imago's answer before Imago's request is no collision.
            self.east.wait_for_log(r"parsed CREATE_CHILD_SA request")
            self.lab.release_wire("east")
        wait_until(lambda: self.spis()[which] and not self.spis()[which] & before[which], f"a new {kind} SA")
        if is_held:
            self.east.wait_for_log({"child": "CHILD_REKEY collision",
                                    "ike": f"IKE_SA rekey collision (won|lost)|{UNNOTICED}"}[kind])
        # charon's threads may take Imago's Delete before its response that came first. Then charon
        # forgets its own rekey without a word, and Imago keeps the SA it made until that times out.
        if UNNOTICED not in self.east.log():
            self.assert_up()
        self.lab.ping_both_ways()
        self.end()

    def test_child_sa_by_both_at_once(self):
        self.rekey_at_once("child")

    def test_ike_sa_by_both_at_once(self):
        self.rekey_at_once("ike")


class Deletes(CharonCase):
    def delete_child(self, who):
        self.up()
        self.peer[who].terminate("child", "net")
        self.assert_up(child_count=0)
        for name in ("east", "west"):  # a new one in the same IKE SA, with a key exchange of its own
            self.peer[name].initiate()
            self.assert_tunnel()
            self.peer[who].terminate("child", "net")
            self.assert_up(child_count=0)
        self.peer[who].terminate("ike", "t")
        self.assert_nothing()
        self.end()

    def test_child_sa_by_imago(self):
        self.delete_child("west")

    def test_child_sa_by_charon(self):
        self.delete_child("east")

    def test_ike_sa_after_rekeys_leaves_nothing(self):
        self.up()
        self.rekey("east", "ike")
        self.rekey("west", "child")
        self.west.terminate("ike", "t")
        self.assert_nothing()
        self.end()

    def test_end_of_imagod_tells_the_peer(self):
        self.up()
        self.assertEqual(self.west.stop(), 0)
        wait_until(lambda: not self.east.sas(), "no SA is left at charon")
        self.end()

    def test_end_of_charon_leaves_nothing_in_imagod(self):
        self.up()
        self.east.stop()
        wait_until(lambda: not self.west.sas(), "no SA is left at imagod")
        self.end()


class Negotiation(CharonCase):
    def narrowed(self, who):
        selectors = self.west.installed()[0]
        self.assertEqual((selectors["local-ts"], selectors["remote-ts"]), (["10.1.0.0/24"], ["10.2.0.0/24"]), who)
        self.rekey(who, "child")
        again = self.west.installed()[0]
        self.assertEqual((again["local-ts"], again["remote-ts"]), (["10.1.0.0/24"], ["10.2.0.0/24"]), who)
        self.lab.ping_both_ways()
        self.end()

    def test_charon_narrows_what_imago_asks_for(self):
        self.up("west", west={"local_ts": "10.1.0.0/16", "remote_ts": "10.2.0.0/16"})
        self.narrowed("west")

    def test_imago_narrows_what_charon_asks_for(self):
        self.up("east", east={"local_ts": "10.2.0.0/16", "remote_ts": "10.1.0.0/16"})
        self.narrowed("east")

    def fails(self, who, at_imago, at_charon, **options):
        """The initiation fails for the same reason at both, and nothing is left."""
        self.pair(**options)
        self.assertNotEqual(self.peer[who].initiate(is_checked=False).returncode, 0)
        self.west.wait_for_log(at_imago)
        self.east.wait_for_log(at_charon)
        self.assert_nothing()
        self.end()

    def test_wrong_psk_from_imago(self):
        self.fails("west", "AUTHENTICATION_FAILED", "N\\(AUTH_FAILED\\)", west={"secret": "not the same secret"})

    def test_wrong_psk_from_charon(self):
        self.fails("east", "AUTHENTICATION_FAILED", "N\\(AUTH_FAILED\\)", west={"secret": "not the same secret"})

    def test_unknown_authority_of_charon(self):
        self.fails("west", "AUTHENTICATION_FAILED", "AUTH_FAILED", auth="ecdsa", east={"auth": "ecdsa-strange"})

    def test_unknown_authority_of_imago(self):
        self.fails("east", "AUTHENTICATION_FAILED", "AUTH_FAILED", auth="ecdsa", west={"auth": "ecdsa-strange"})

    def test_no_common_ike_proposal_from_imago(self):
        self.fails("west", "NO_PROPOSAL_CHOSEN", "NO_PROP", west={"proposals": (AES_CBC[0], AES_GCM[1])})

    def test_no_common_ike_proposal_from_charon(self):
        self.fails("east", "NO_PROPOSAL_CHOSEN", "NO_PROP", west={"proposals": (AES_CBC[0], AES_GCM[1])})

    def childless(self, who, at_imago, at_charon, **options):
        """The Child SA fails, the IKE SA stays."""
        self.pair(**options)
        self.assertNotEqual(self.peer[who].initiate(is_checked=False).returncode, 0)
        self.west.wait_for_log(at_imago)
        self.east.wait_for_log(at_charon)
        self.assert_up(child_count=0)
        self.end()

    def test_selectors_without_overlap_from_imago(self):
        self.childless("west", "TS_UNACCEPTABLE", "TS_UNACCEPT", west={"remote_ts": "10.99.0.0/24"})

    def test_selectors_without_overlap_from_charon(self):
        self.childless("east", "TS_UNACCEPTABLE", "TS_UNACCEPT", west={"remote_ts": "10.99.0.0/24"})

    def test_no_common_esp_proposal_from_imago(self):
        self.childless("west", "NO_PROPOSAL_CHOSEN", "NO_PROP", west={"proposals": (AES_GCM[0], "aes256-sha512")})

    def test_no_common_esp_proposal_from_charon(self):
        self.childless("east", "NO_PROPOSAL_CHOSEN", "NO_PROP", west={"proposals": (AES_GCM[0], "aes256-sha512")})


class KeyExchangeRetry(CharonCase):
    """INVALID_KE_PAYLOAD: the first guess of the group is not the peer's."""

    BOTH = ("aes128gcm16-prfsha256-x25519-ecp256", "aes128gcm16-x25519-ecp256")
    ONE = ("aes128gcm16-prfsha256-ecp256", "aes128gcm16-ecp256")

    def check(self, who, picky):
        self.up(who, proposals=self.BOTH, **{picky: {"proposals": self.ONE}})
        self.east.wait_for_log("INVAL_KE")
        self.assertEqual(self.west.established()[0]["dh-group"], "ECP_256")
        self.rekey(who, "child")  # the group is guessed wrong again
        self.rekey(who, "ike")
        self.lab.ping_both_ways()
        self.end()

    def test_imago_tries_again(self):
        self.check("west", "east")

    def test_charon_tries_again(self):
        self.check("east", "west")


class Cookies(CharonCase):
    THRESHOLDS = "cookie_threshold = 2\n  cookie_threshold_ip = 1\n  block_threshold = 100"

    def test_imago_repeats_with_charons_cookie(self):
        self.pair(settings=self.THRESHOLDS)
        open_half(self.lab, "west", 2)
        self.west.initiate()
        self.east.wait_for_log(r"N\(COOKIE\)")
        self.west.wait_for_log("COOKIE")
        self.west.rekey("child", "net")
        wait_until(lambda: len(self.west.installed()) == 1, "one Child SA")
        self.lab.ping_both_ways()
        self.end()

    def test_imago_keeps_the_cookie_when_it_changes_the_group(self):
        """COOKIE, then INVALID_KE_PAYLOAD; RFC 7296 section 2.6.1."""
        self.pair(settings=self.THRESHOLDS, proposals=KeyExchangeRetry.BOTH, east={"proposals": (
            "aes128gcm16-prfsha256-ecp256, aes256gcm16-prfsha256-x25519", "aes128gcm16-ecp256")})
        open_half(self.lab, "west", 2, key_bits=256)
        self.west.initiate()
        self.east.wait_for_log(r"N\(COOKIE\)")
        self.east.wait_for_log(r"N\(INVAL_KE\)")
        self.assertEqual(self.west.established()[0]["dh-group"], "ECP_256")
        self.lab.ping_both_ways()
        self.end()

    def test_charon_repeats_with_imagos_cookie(self):
        self.pair()
        answers = open_half(self.lab, "east", 1001)
        self.assertNotIn(COOKIE, notify_kinds(answers[0]))
        self.assertIn(COOKIE, notify_kinds(answers[-1]))
        self.east.initiate()
        self.east.wait_for_log(r"N\(COOKIE\)")
        self.lab.ping_both_ways()
        self.end()


class Fragments(CharonCase):
    """A chain of RSA-4096 certificates does not fit one datagram; RFC 7383."""

    MTU = 1280
    SETTINGS = "fragment_size = 1200"

    def check(self, who, settings=SETTINGS):
        self.up(who, auth="rsa4096-chain", settings=settings)
        self.west.terminate("ike", "t")
        self.assert_nothing()
        return self.east.log()

    def test_from_imago(self):
        log = self.check("west")
        self.assertRegex(log, r"received fragment #[12] of \d")
        self.assertRegex(log, r"splitting IKE message .* into \d fragments")
        self.end()

    def test_from_charon(self):
        log = self.check("east")
        self.assertRegex(log, r"received fragment #[12] of \d")
        self.assertRegex(log, r"splitting IKE message .* into \d fragments")
        self.end()

    def test_without_fragmentation_of_ike(self):
        """Both fall back to IP fragments."""
        self.up("west", auth="rsa4096-chain", connection="fragmentation = no")
        self.assertNotIn("received fragment", self.east.log())
        self.end()


if __name__ == "__main__":
    prepare(needs_charon=True)
    unittest.main(verbosity=2)
