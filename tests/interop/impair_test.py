#!/usr/bin/env python3
"""Two imagods with --allow-impair: a fault is ordered by imagoctl, fires, and is repaired or reported."""

import json
import os
import re
import unittest

from libcases import PairCase
from libconfig import configuration
from libpeers import Imagod, prepare
from libprograms import IMAGOCTL, Program, run, wait_until


class Impaired(PairCase):
    def pair(self, *options):
        self.start(*(Imagod(self.lab, name, configuration(name), options=options) for name in ("west", "east")))

    def imagoctl(self, who, *arguments, is_checked=True):
        return run(IMAGOCTL, "--uri", f"unix://{self.peer[who].vici}", *arguments, is_checked=is_checked)

    def impair(self, who, *arguments):
        """The number of the impairment."""
        return json.loads(self.imagoctl(who, "impair", "--json", *arguments).stdout)["id"]

    def count(self, who, message, direction):
        """A fault that is too far away to fire counts what it meets."""
        return self.impair(who, "drop", "--message", message, "--direction", direction, "--nth", "1000")

    def state(self, who, number):
        return json.loads(self.imagoctl(who, "impair", "--status", "--json").stdout)["impairments"][number]

    def met(self, who, number):
        return int(self.state(who, number)["met"])

    def assert_fired_once(self, who, number):
        state = self.state(who, number)
        self.assertEqual((state["fired"], state["state"]), ("1", "over"))
        fired = f"impairment {number} fired: "
        self.peer[who].wait_for_log(fired)
        self.assertEqual(self.peer[who].log().count(fired), 1)


class Messages(Impaired):
    def check(self, who, requests, responses, *fault):
        """An IKE_AUTH with that fault ends in a tunnel; so many of its messages went over the wire to do it."""
        self.pair("--allow-impair")
        number = self.impair(who, *fault)
        request = self.count("west", "IKE_AUTH request", "sent")
        response = self.count("east", "IKE_AUTH response", "sent")
        self.west.initiate()
        self.assert_tunnel()
        self.assert_fired_once(who, number)
        wait_until(lambda: (self.met("west", request), self.met("east", response)) == (requests, responses),
                   f"{requests} requests, {responses} responses")
        self.west.terminate("ike", "t")
        self.end()

    def test_a_lost_response_is_repaired_by_the_retransmission_of_its_request(self):
        self.check("east", 2, 2, "drop", "--message", "IKE_AUTH response", "--direction", "sent")

    def test_a_response_that_is_lost_on_arrival_is_sent_again_too(self):
        self.check("west", 2, 2, "drop", "--message", "IKE_AUTH response", "--direction", "received")

    def test_a_request_that_was_changed_on_the_way_is_not_answered(self):
        self.check("east", 2, 1, "corrupt", "--message", "IKE_AUTH request", "--direction", "received")

    def test_a_request_that_comes_twice_is_carried_out_and_answered_once(self):
        self.check("east", 1, 1, "duplicate", "--message", "IKE_AUTH request", "--direction", "received")

    def test_a_request_that_comes_late_is_answered(self):
        self.check("west", 1, 1, "delay", "--message", "IKE_AUTH request", "--direction", "sent", "--seconds", "0.2")


class Crypto(Impaired):
    def test_a_stalled_pool_keeps_the_peer_waiting_until_it_is_lifted(self):
        self.pair("--allow-impair")
        number = self.impair("east", "stall-crypto")
        requests = self.count("east", "IKE_SA_INIT request", "received")
        responses = self.count("east", "IKE_SA_INIT response", "sent")
        up = Program([IMAGOCTL, "--uri", f"unix://{self.west.vici}", "--timeout", "60", "up", "t"])
        self.addCleanup(up.end)
        wait_until(lambda: self.met("east", requests) >= 2, "west asks again", 30)
        self.assertEqual(self.met("east", responses), 0)
        self.imagoctl("east", "impair", "--clear", number)
        self.assert_tunnel()
        self.assertEqual(up.process.wait(30), 0)
        self.assertGreater(self.met("east", responses), 0)
        self.west.terminate("ike", "t")
        self.end()

    def test_a_daemon_whose_crypto_stands_still_can_be_ended(self):
        self.pair("--allow-impair")
        self.impair("east", "stall-crypto")
        requests = self.count("east", "IKE_SA_INIT request", "received")
        up = Program([IMAGOCTL, "--uri", f"unix://{self.west.vici}", "--timeout", "60", "up", "t"])
        self.addCleanup(up.end)
        wait_until(lambda: self.met("east", requests) >= 1, "west asks")
        self.end()

    def test_a_stall_ends_by_itself(self):
        self.pair("--allow-impair")
        number = self.impair("west", "stall-crypto", "--seconds", "1")
        self.west.initiate()
        self.assert_tunnel()
        self.assertEqual(self.state("west", number)["state"], "over")
        self.west.wait_for_log(f"impairment {number} lifted: stall-crypto, for 1 s")
        self.end()


class Kernel(Impaired):
    def test_a_refused_request_fails_the_child_with_that_error(self):
        for error, text in (("no_buffer_space", "the data plane has no buffer space"),
                            ("out_of_memory", "the data plane is out of memory")):
            with self.subTest(error):
                if error == "no_buffer_space":
                    self.pair("--allow-impair")
                number = self.impair("west", "fail-kernel", "--request", "install_sa", "--error", error)
                failed = self.imagoctl("west", "up", "t", is_checked=False)
                self.assertEqual(failed.returncode, 1)
                self.assertIn(text, failed.stderr)
                self.assert_fired_once("west", number)
        wait_until(lambda: not self.west.installed() and not self.east.installed(), "no child is left")
        self.west.initiate()
        self.assert_tunnel()
        self.west.terminate("ike", "t")
        self.assert_nothing()
        self.end()


class Clients(Impaired):
    def test_a_frozen_client_hears_nothing_until_it_is_lifted(self):
        self.pair("--allow-impair")
        log = Program([IMAGOCTL, "--uri", f"unix://{self.west.vici}", "log", "--level", "1"])
        self.addCleanup(log.end)
        # A line of its own shows that it listens.
        def is_followed():
            self.imagoctl("west", "impair", "--clear", self.count("west", "any", "sent"))
            return log.find("lifted: drop any")
        wait_until(is_followed, "the log is followed")
        self.impair("west", "freeze-client", "--name", "newest")
        self.west.initiate()
        self.assert_tunnel()
        self.west.wait_for_log("impairment .* fired: freeze-client")
        self.assertFalse(log.find("established"))
        self.imagoctl("west", "impair", "--clear")
        log.wait_for("established")
        log.wait_for("lifted: freeze-client")
        self.west.terminate("ike", "t")
        self.end()


class Words(Impaired):
    def test_without_the_flag_nothing_can_be_impaired(self):
        self.pair()
        for arguments in (["drop", "--message", "any"], ["--clear"]):
            refused = self.imagoctl("west", "impair", *arguments, is_checked=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("start imagod with --allow-impair", refused.stderr)
        self.assertIn("start imagod with --allow-impair", self.imagoctl("west", "impair", "--status").stdout)
        self.west.initiate()
        self.assert_tunnel()
        self.end()

    def test_mistakes_are_answered_with_what_would_be_right(self):
        self.pair("--allow-impair")
        for arguments, words in ((["dorp"], "did you mean 'drop'?"),
                                 (["drop"], "drop needs the argument 'message'"),
                                 (["drop", "--message", "IKE_ATH"], "did you mean 'IKE_AUTH'?"),
                                 (["--clear", "7"], "impairment 7 is not armed")):
            refused = self.imagoctl("west", "impair", *arguments, is_checked=False)
            self.assertEqual(refused.returncode, 1, refused.stderr)
            self.assertIn(words, refused.stderr)
        for arguments in ([], ["drop", "--status"], ["--nonsense"]):
            self.assertEqual(self.imagoctl("west", "impair", *arguments, is_checked=False).returncode, 2)
        self.assertIn("nothing is impaired", self.imagoctl("west", "impair", "--status").stdout)
        self.end()

    def test_each_fault_is_explained_without_a_daemon(self):
        text = run(IMAGOCTL, "--uri", "unix:///nowhere", "impair", "--list").stdout
        for name in ("drop", "delay", "duplicate", "corrupt", "stall-crypto", "fail-kernel", "freeze-client"):
            self.assertRegex(text, rf"(?m)^{name}$")
            self.assertIn(f"  example: imagoctl impair {name}", text)

    def test_the_manual_page_has_every_fault_and_argument(self):
        text = run(IMAGOCTL, "impair", "--list").stdout
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/man/imagoctl.1"),
                  encoding="utf-8") as file:
            manual = file.read().partition(".Sh IMPAIRMENTS")[2].partition(".Sh EXIT STATUS")[0]
        for name in re.findall(r"(?m)^([a-z-]+)$", text):
            self.assertRegex(manual, rf"(?m)^\.It Cm (.* , )?{name}( |$)")
        for name in re.findall(r"(?m)^    --([a-z]+) ", text):
            self.assertIn(f"Fl -{name}", manual)


if __name__ == "__main__":
    prepare(needs_charon=False)
    unittest.main(verbosity=2)
