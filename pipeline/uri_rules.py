"""Which URIs the rows of a manifest may name: schemes, prefixes, and addresses of the network.

A manifest is written by others: what it names is read with the rights of this machine.
"""

from __future__ import annotations

import ipaddress
import os.path
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pipeline.config import CheckConfig
from pipeline.errors import ConfigError, RowError
from pipeline.uris import (
    HTTP_SCHEMES,
    LOCAL_SCHEMES,
    allowed_scheme,
    has_secrets,
    local_path,
    shown,
    split_uri,
)

_SAME_SCHEME = {"file": "", "gcs": "gs"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
# of IANA's special-purpose registries, what `ipaddress` of some Python versions takes for public
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; Oracle's cloud has its metadata here
            "192.88.99.0/24",  # 6to4 relays
            "64:ff9b:1::/48",  # NAT64 of a local network
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
            "5f00::/16",
            "fec0::/10",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class UriRules:
    """Raises ConfigError for a prefix that is no absolute path and no URI of an allowed scheme."""

    allowed_prefixes: tuple[str, ...] = ()  # none: everything of the allowed schemes
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for prefix in self.allowed_prefixes:
            if has_secrets(prefix):
                raise ConfigError(f"check.allowed_prefixes: {shown(prefix)!r} holds a password or a query")
            try:
                allowed_scheme(prefix)
                is_plain = _location(prefix) is not None
            except RowError as error:
                raise ConfigError(f"check.allowed_prefixes: {error}") from error
            if not is_plain or not (split_uri(prefix)[0] or os.path.isabs(prefix)):
                raise ConfigError(
                    f"check.allowed_prefixes: {prefix!r} is no folder; write an absolute path or a URI"
                )

    def check(self, uri: str) -> str:
        """The scheme of an absolute URI or path that may be read.

        Raises RowError `uri_scheme_not_allowed`, `uri_prefix_not_allowed`.
        """
        scheme = allowed_scheme(uri)
        if self.allowed_prefixes:
            wanted = _location(uri)
            prefixes = (_location(prefix) for prefix in self.allowed_prefixes)
            if wanted is None or not any(prefix and _lies_in(wanted, prefix) for prefix in prefixes):
                raise RowError(
                    "uri_prefix_not_allowed", f"{shown(uri)!r} lies outside check.allowed_prefixes"
                )
        return scheme

    def check_address(self, address: str) -> None:
        """Raises RowError `uri_address_not_allowed`; the address itself is not told."""
        if not self.allow_private_addresses and not is_public(address):
            raise RowError(
                "uri_address_not_allowed",
                "its host is private, local or reserved; see check.allow_private_addresses",
            )


PUBLIC_ONLY = UriRules()


def rules_of(check: CheckConfig) -> UriRules:
    return UriRules(tuple(check.allowed_prefixes), check.allow_private_addresses)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, for a single host."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        # tunnels that end at whatever IPv4 address is written into them
        if ip.sixtofour is not None or ip.teredo is not None:
            return False
    if any(ip.version == network.version and ip in network for network in _SPECIAL):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _location(uri: str) -> tuple[str, str, list[str]] | None:
    """Scheme, authority and folders, as comparable as they come; None for what could climb out of a folder.

    Paths of this machine are followed through their symbolic links.
    """
    scheme, rest = split_uri(uri)
    scheme = _SAME_SCHEME.get(scheme, scheme)
    if scheme in LOCAL_SCHEMES:
        if "\0" in uri:
            return None
        return scheme, "", _parts(os.path.realpath(local_path(uri)))
    if scheme in HTTP_SCHEMES:
        try:
            parts = urlsplit(uri)
            authority = f"{(parts.hostname or '').lower()}:{parts.port or _DEFAULT_PORTS[scheme]}"
        except ValueError:
            return None
        path = unquote(parts.path)
        if "%" in path:  # a server may decode once more
            return None
    else:
        authority, _, path = rest.partition("/")
    if "\\" in path or not {".", ".."}.isdisjoint(path.split("/")):
        return None
    return scheme, authority, _parts(path)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _lies_in(wanted: tuple[str, str, list[str]], folder: tuple[str, str, list[str]]) -> bool:
    return wanted[:2] == folder[:2] and wanted[2][: len(folder[2])] == folder[2]
