"""Faults of the data plane, crypto that comes late or never."""

import pytest

import imago


@pytest.mark.parametrize("code", ["EBUSY", "ENOBUFS", "ENOMEM"])
def test_a_data_plane_that_refuses_leaves_no_child_and_no_orphan(pair, code):
    pair.b.kernel.fault("install_sa", "refuse", nth=0, error=code)
    command = pair.a.initiate("tunnel", "net")
    with pytest.raises(imago.CommandFailed):
        command.wait(seconds=300)
    pair.world.advance(60)
    assert pair.b.kernel.sas == [] and pair.b.kernel.larval == [] and pair.a.kernel.sas == []
    pair.b.kernel.clear_faults()
    pair.a.initiate("tunnel", "net").wait()
    pair.world.run()
    assert pair.b.kernel.sa_count == 2


@pytest.mark.parametrize("action", ["lose", "lose-reply", "repeat", "fail-late"])
def test_whatever_the_data_plane_does_both_ends_agree_afterwards(pair, action):
    pair.b.kernel.fault("install_sa", action)
    command = pair.a.initiate("tunnel", "net")
    pair.world.advance(600)
    assert command.done
    assert pair.a.kernel.sa_count == pair.b.kernel.sa_count
    assert pair.a.kernel.larval == [] and pair.b.kernel.larval == []
    assert pair.b.problems == []


def test_a_late_reply_holds_the_response_back(pair):
    pair.b.kernel.fault("install_sa", "late")
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert pair.b.kernel.late == ["install_sa"]
    assert "IKE_AUTH response 1" not in [one.label for one in pair.world.network.sent]
    assert pair.a.ike_sas[0].state == "auth_sent"
    assert pair.b.kernel.answer() and not pair.b.kernel.answer()
    pair.world.run()
    assert pair.a.ike_sas[0].state == "established"
    assert pair.b.kernel.requests[:2] == ["allocate_spi", "install_sa"]


def test_larval_sas_are_seen(pair):
    pair.world.network.on_datagram("IKE_AUTH request*", action="hold")
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    larval, = pair.a.kernel.larval
    assert larval.spi != 0 and (larval.destination, larval.remote) == ("192.0.2.1", "192.0.2.2")


def test_held_crypto_suspends_an_exchange_until_it_is_performed(pair):
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    pair.b.crypto.hold()
    pair.a.rekey("tunnel")
    pair.world.run()
    assert pair.b.crypto.waiting == 1 and len(pair.b.exchanges) == 1
    assert pair.b.crypto.perform() and pair.b.crypto.waiting == 0 and not pair.b.crypto.perform()
    result, = pair.world.letters(name="job_done")
    assert result.receiver == pair.b.exchanges[0]
    pair.b.crypto.release()
    pair.world.run()
    assert [sa.state for sa in pair.a.ike_sas] == ["established"]


def test_a_result_that_never_comes_is_the_end_of_a_half_open_sa(pair):
    pair.b.crypto.hold()
    pair.a.initiate("tunnel", "net")
    pair.world.run()
    assert pair.b.crypto.drop()
    pair.world.advance(300)
    assert pair.b.exchanges == []
    assert pair.b.problems == []


def test_wrong_faults_are_named(pair):
    with pytest.raises(ValueError, match="no request 'install'"):
        pair.a.kernel.fault("install")
    with pytest.raises(ValueError, match="'explode' is none of refuse"):
        pair.a.kernel.fault("install_sa", "explode")
    with pytest.raises(ValueError, match="'EIO' is none of EBUSY"):
        pair.a.kernel.fault("install_sa", error="EIO")
