"""A request's body has a limit, counted as it comes: a length that lies does not help."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, answer

MOST_BYTES = 4 * 1024 * 1024


class TooLarge(Exception):
    """The body went past the limit; a signal, told to nobody."""


class BodyLimit:
    """Middleware: 413 for a body of more than `most` bytes, before anything reads it whole."""

    def __init__(self, app: ASGIApp, most: int = MOST_BYTES) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            await self._refuse(scope, receive, send)
            return
        counted, began = 0, False

        async def counting() -> Message:
            nonlocal counted
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > self._most:
                raise TooLarge
            return message

        async def sending(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, counting, sending)
        except TooLarge:
            if not began:
                await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"The request has more than {self._most // 1024 // 1024} MiB. Nothing was done."
        await answer(ApiError(413, message, "request_too_large"))(scope, receive, send)
