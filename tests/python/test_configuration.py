"""Configurations as text and as dicts."""

import pytest

import imago
from conftest import two_peers


def test_a_dict_becomes_swanctl_conf():
    assert imago.render({"connections": {"office": {
        "version": 2, "mobike": False, "local_addrs": ["192.0.2.1", "192.0.2.2"],
        "local": {"id": 'C=CH, CN="moon"'}}}}) == (
            'connections {\n  office {\n    version = 2\n    mobike = no\n    local_addrs = 192.0.2.1, 192.0.2.2\n'
            '    local {\n      id = "C=CH, CN=\\"moon\\""\n    }\n  }\n}\n')


@pytest.mark.parametrize("wrong, place", [
    ({"connections": {"a b": {}}}, "connections.a b"),
    ({"connections": {"x": {"children": None}}}, "connections.x.children"),
    ({"connections": {"x": {"y": [object()]}}}, "connections.x.y")])
def test_what_cannot_be_said_is_an_error_with_its_place(wrong, place):
    with pytest.raises(ValueError, match=place):
        imago.render(wrong)
    with pytest.raises(TypeError):
        imago.render([])


def test_odd_values_survive_the_way_through_the_parser():
    world = imago.World()
    secret = 'quotes " and \\ and # and { and = and trailing '
    ours, theirs = imago.psk_pair(secret=secret)
    a = world.add_host("a", "192.0.2.1", imago.render(ours))
    world.add_host("b", "192.0.2.2", theirs)
    a.initiate("tunnel", "net").wait()
    world.close()


def test_a_bad_configuration_says_line_column_and_what_is_meant(pair):
    ours, _ = imago.psk_pair()
    ours["connections"]["tunnel"]["remote_adr"] = "192.0.2.2"
    with pytest.raises(imago.ConfigError, match=r"a: text:\d+:\d+: unknown key 'remote_adr'.*did you mean"):
        pair.a.load(ours)
    pair.a.initiate("tunnel", "net").wait()  # the one before is still there


def test_a_host_that_could_not_be_configured_is_there_without_configuration():
    world = imago.World()
    with pytest.raises(imago.ConfigError):
        world.add_host("a", "192.0.2.1", "connections {")
    assert world.host("a").connections == []
    world.host("a").load(imago.psk_pair()[0])
    assert [one.name for one in world.host("a").connections] == ["tunnel"]
    world.close()


def test_files_are_read_below_a_base_and_only_then(tmp_path, pair):
    ours, _ = imago.psk_pair()
    ours["connections"]["tunnel"]["remote"] = {"auth": "pubkey", "certs": "nobody.pem"}
    with pytest.raises(imago.ConfigError, match="nobody.pem"):
        pair.a.load(ours)
    with pytest.raises(imago.ConfigError, match=str(tmp_path)):
        pair.a.load(ours, base=str(tmp_path))


def test_child_keys_and_connection_keys_of_a_pair():
    ours, theirs = imago.psk_pair("office", "lan", ike={"proposals": "aes128gcm16-prfsha256-x25519"}, mode="transport")
    for one in (ours, theirs):
        assert one["connections"]["office"]["proposals"] == "aes128gcm16-prfsha256-x25519"
        assert one["connections"]["office"]["children"]["lan"]["mode"] == "transport"
    world = imago.World()
    a, _ = two_peers(world)
    assert a.connections[0].children == ["net"]
    world.close()
