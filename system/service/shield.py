"""What stands before the routes: size, origin, host, key and rate of every request, and headers on every reply.

One ASGI middleware, so that streamed replies pass through as they are. Must not know what is asked.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from system.errors import SettingsError
from system.service.wire import ServiceError

BODY_BYTES = 256 * 1024  # a whole conversation at its longest stays below
BODY_SECONDS = 10.0  # for all of a body to arrive; who sends a byte now and then holds a connection for no longer
RATE = "60/minute"
OPEN = ("/", "/rate", "/health", "/favicon.ico")  # without a key; and /static, which holds no customer's word
_log = logging.getLogger(__name__)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What is let through. ``hosts``: names by which the service may be called, empty for any."""

    key: str = ""  # empty: no key is asked for
    hosts: tuple[str, ...] = ()
    rate: str = RATE  # of one client, such as "60/minute"
    body_bytes: int = BODY_BYTES
    body_seconds: float = BODY_SECONDS

    def __post_init__(self) -> None:
        """Raises SettingsError for a rate that is none."""
        self.rate_item()

    def rate_item(self) -> RateLimitItem:
        """The rate as the limiter reads it."""
        try:
            return parse(self.rate)
        except ValueError as error:
            raise SettingsError(f"--rate {self.rate!r}: write a number per time, such as 60/minute") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Shield:
    """The middleware."""

    def __init__(self, app: ASGIApp, limits: Limits):
        self._app = app
        self._limits = limits
        self._rate = limits.rate_item()
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            self._check(scope)
            with anyio.fail_after(self._limits.body_seconds):
                body = await self._body(scope, receive)
        except TimeoutError:
            late = ServiceError(408, "too_slow", f"the body took longer than {self._limits.body_seconds:g} s")
            await _refuse(late, scope, receive, send_with_headers)
            return
        except ServiceError as error:
            await _refuse(error, scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, _replayed(body, receive), send_with_headers)
        except Exception:
            if begun:
                raise
            _log.exception("a request failed")  # what exactly went wrong is not a client's business
            wrong = ServiceError(500, "internal", "something went wrong here; the operator can find it in the log")
            await _refuse(wrong, scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        """Raise ServiceError unless host, origin, content type, key and rate are as they must be."""
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        host = headers.get("host", "")
        if self._limits.hosts and _name(host) not in self._limits.hosts:
            # Another site whose name resolves to this machine would otherwise speak with its visitor's browser.
            raise ServiceError(421, "wrong_host", "the service does not go by this name; see --allow-host")
        is_page = path in OPEN or path.startswith("/static/")
        site = headers.get("sec-fetch-site", "same-origin")
        if not (is_page and method in _SAFE) and site not in ("same-origin", "none"):
            raise ServiceError(403, "cross_site", "another site may not use this service from its pages")
        origin = headers.get("origin")
        if method not in _SAFE and origin is not None and urlsplit(origin).netloc != host:
            raise ServiceError(403, "cross_site", "another site may not use this service from its pages")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method in ("POST", "PUT", "PATCH") and kind != "application/json":
            raise ServiceError(415, "not_json", "send the body as application/json")
        if is_page and method in _SAFE:
            return
        given = headers.get("authorization", "")
        if self._limits.key and not hmac.compare_digest(given.encode(), f"Bearer {self._limits.key}".encode()):
            raise ServiceError(401, "no_key", "send the service's key as: Authorization: Bearer KEY")
        client = scope.get("client") or ("unknown", 0)
        if not self._limiter.hit(self._rate, client[0]):
            wait = self._limiter.get_window_stats(self._rate, client[0]).reset_time
            raise ServiceError(429, "too_many", f"at most {self._limits.rate} requests; wait", _seconds_until(wait))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, or ServiceError as soon as it is larger than allowed."""
        most = self._limits.body_bytes
        too_large = ServiceError(413, "too_large", f"the body is larger than {most:,} bytes; shorten it")
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > most:
            raise too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > most:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once, and then what really comes, such as the client's going."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _name(host: str) -> str:
    """A Host header without its port."""
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host


def _seconds_until(moment: float) -> int:
    return max(1, int(moment - time.time()) + 1)


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    reply = error.reply()
    if error.status in (408, 413):
        # The rest of a body that was refused is not read, so nothing more can come over this connection.
        reply.headers["Connection"] = "close"
    await reply(scope, receive, send)
