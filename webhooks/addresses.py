"""Where messages may go. Whoever names a URL must not reach, through us, what only we can reach.

A URL is looked at when it is given; the name in it is resolved anew for each message, each address that it stands for
is looked at, and the connection goes to the address that was looked at, so that a second answer of the name server
cannot lead elsewhere.
"""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from webhooks.errors import DestinationRefused, WebhookUrlInvalid

_LONGEST = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Printable ASCII without blanks: anything else is to be encoded by whoever writes it.
_WRITTEN = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.IGNORECASE)
# Addresses that lead to an IPv4 address within them, through somebody's gateway.
_TUNNELS = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart.

    :ivar path: with the query, as the request's line has it
    """

    is_secure: bool
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = _DEFAULT_PORTS["https" if self.is_secure else "http"]
        return host if self.port == default else f"{host}:{self.port}"


def read_url(url: str, *, must_be_secure: bool, allow_private: bool) -> Target:
    """Take a URL apart that messages shall be sent to.

    :raises WebhookUrlInvalid: if it is none, carries credentials, is not HTTPS where it must be, or names an address
        that is not public
    """
    if len(url) > _LONGEST or not _WRITTEN.fullmatch(url) or "\\" in url:
        raise WebhookUrlInvalid(f"it must be an absolute URL of at most {_LONGEST} characters in ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise WebhookUrlInvalid("it cannot be read") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise WebhookUrlInvalid("it must begin with https://")
    if must_be_secure and parts.scheme != "https":
        raise WebhookUrlInvalid("in live mode it must begin with https://")
    if "@" in parts.netloc:
        raise WebhookUrlInvalid("it must not carry a user name or a password")
    if not _HOST.fullmatch(host) or port == 0:
        raise WebhookUrlInvalid("it names no host")
    literal = _literal(host)
    if not allow_private and (host.rstrip(".").endswith("localhost") or (literal and not is_public(literal))):
        raise WebhookUrlInvalid("messages are sent to public addresses only")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", host, port or _DEFAULT_PORTS[parts.scheme], path)


def resolve(target: Target, *, allow_private: bool) -> list[str]:
    """The addresses that a target's name stands for now. A connection may go to these and to no others.

    :raises DestinationRefused: if there is none, or any of them is not public: a name that stands for both is a trap
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DestinationRefused(f"The name {target.host} cannot be resolved.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private:
        for address in addresses:
            if not is_public(ip_address(address.partition("%")[0])):
                raise DestinationRefused(f"The name {target.host} stands for an address that is not public.")
    return addresses


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the open Internet: not private, local, shared, multicast, reserved or a tunnel."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in tunnel for tunnel in _TUNNELS):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
