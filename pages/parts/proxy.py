"""Sign-in by a proxy: the header in which it names the person, believed from the proxy alone."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from core.settings import Settings, load_settings, networks


class ProxyHeader:
    """ASGI middleware: takes the header that names a person out of every request that is not from the proxy, or that
    carries it twice, as when a proxy adds its own to one that the visitor sent.
    """

    def __init__(self, app: ASGIApp, settings: Settings | None = None) -> None:
        settings = settings or load_settings()
        self._app = app
        self._header = settings.proxy_header.lower().encode("latin-1") if settings.auth == "proxy" else None
        self._proxies = networks(settings.proxy_addresses)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, the socket of a page as well, with or without the header."""
        if self._header and scope["type"] in ("http", "websocket"):
            named = [value for name, value in scope["headers"] if name.lower() == self._header]
            if named and (len(named) > 1 or not from_proxy(scope.get("client"), self._proxies)):
                kept = [(name, value) for name, value in scope["headers"] if name.lower() != self._header]
                scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def from_proxy(client: tuple[str, int] | None, proxies: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Whether the other end of a connection is one of these; an end without an address is none."""
    try:
        address = ip_address(client[0]) if client else None
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address is not None and any(address in proxy for proxy in proxies)
