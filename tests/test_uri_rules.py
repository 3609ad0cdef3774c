"""Whom a manifest's URI may reach. Address blocks are those of the IANA special-purpose registries."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, RowError
from pipeline.uri_rules import UriRules, is_public


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.255.0.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
     "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1",
     "192.0.2.1", "198.18.0.1", "203.0.113.9", "192.0.0.192", "100.100.100.200", "192.88.99.1",
     "64:ff9b:1::1", "100::1", "3fff::1", "5f00::1",
     "::", "::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1",
     "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
     "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",  # NAT64 of 127.0.0.1 and 169.254.169.254
     "2002:7f00:1::", "2002:a00:1::1",  # 6to4 of 127.0.0.1 and 10.0.0.1
     "2001:0:53aa:64c:0:fbff:80ff:fffe", "::127.0.0.1"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(RowError) as caught:
        UriRules().check_address(address)
    assert caught.value.code == "uri_address_not_allowed"
    assert address not in caught.value.message, "who writes manifests learns nothing of the network"
    UriRules(allow_private_addresses=True).check_address(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    UriRules().check_address(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_no_way_of_writing_a_private_address_makes_it_public(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    assert not is_public(str(address))
    for base in ("::ffff:0:0", "64:ff9b::", "::"):
        assert not is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(base)) + number)))
    assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))))


PREFIXES = ("s3://voices/public", "https://Example.org/refs/", "/srv/voices")


@pytest.mark.parametrize(
    "uri",
    ["s3://voices/public/a.wav", "s3://voices/public/b/c.wav", "S3://voices/public/a.wav",
     "https://example.org/refs/a.wav", "https://EXAMPLE.org:443/refs/x/a.wav?sig=1",
     "https://user:word@example.org/refs/a.wav", "https://example.org/refs/with%20space.wav",
     "/srv/voices/a.wav", "file:///srv/voices/a.wav", "/srv/other/../voices/a.wav"],
)  # fmt: skip
def test_what_lies_in_an_allowed_prefix(uri: str) -> None:
    UriRules(PREFIXES).check(uri)


@pytest.mark.parametrize(
    "uri",
    ["s3://voices/publicity/a.wav", "s3://voices/private/a.wav", "s3://voices2/public/a.wav",
     "s3://voices/public/../private/a.wav", "gs://voices/public/a.wav",
     "http://example.org/refs/a.wav", "https://example.org:8443/refs/a.wav", "https://example.org.evil.org/refs/a",
     "https://example.org@evil.org/refs/a.wav", "https://example.org/refs/../secret.wav",
     "https://example.org/refs/%2e%2e/secret.wav", "https://example.org/refs/%252e%252e/secret.wav",
     "https://example.org/refs/..%2fsecret.wav", "https://example.org/refs/..\\secret.wav",
     "https://example.org:port/refs/a.wav",
     "/srv/voices2/a.wav", "/srv/voices/../../etc/passwd", "file:///etc/passwd", "/srv"],
)  # fmt: skip
def test_what_lies_outside(uri: str) -> None:
    with pytest.raises(RowError) as caught:
        UriRules(PREFIXES).check(uri)
    assert caught.value.code == "uri_prefix_not_allowed"


def test_links_do_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "voices").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "voices" / "link.wav").symlink_to(tmp_path / "secret")
    rules = UriRules((str(tmp_path / "voices"),))
    with pytest.raises(RowError, match="outside"):
        rules.check(str(tmp_path / "voices" / "link.wav"))
    # the folder itself may be a link
    (tmp_path / "alias").symlink_to(tmp_path / "voices")
    (tmp_path / "voices" / "a.wav").write_text("x")
    UriRules((str(tmp_path / "alias"),)).check(str(tmp_path / "voices" / "a.wav"))


@pytest.mark.parametrize("uri", ["gopher://x/y", "zip://a::https://h/x", "file://host/x"])
def test_other_schemes_are_refused_with_and_without_prefixes(uri: str) -> None:
    for rules in (UriRules(), UriRules(PREFIXES)):
        with pytest.raises(RowError) as caught:
            rules.check(uri)
        assert caught.value.code == "uri_scheme_not_allowed"


@pytest.mark.parametrize("prefix", ["voices", "ftp://host/", "https://u:hush@host/", "https://host/?sig=hush",
                                    "s3://bucket/../x", ""])  # fmt: skip
def test_a_prefix_that_cannot_be_meant_ends_the_job(prefix: str) -> None:
    with pytest.raises(ConfigError, match="allowed_prefixes") as caught:
        UriRules((prefix,))
    assert "hush" not in str(caught.value)
