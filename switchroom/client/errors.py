"""What a call may raise."""

from __future__ import annotations

from http import HTTPStatus

from switchroom.client.models import Detail


class SwitchroomError(Exception):
    """Every error of this package."""


class NoResponse(SwitchroomError):
    """The service could not be reached, or did not respond in time.

    `sent`: whether the request may have reached it, and so may have been carried out.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class APIError(SwitchroomError):
    """The service responded with an error; the text is its own.

    `status`: of HTTP. `code`: the reason in a word, such as `name_taken`; empty where the service names none. `detail`:
    what else there is to know. `retry_after`: seconds after which to ask again, None if it did not say. `request_id`:
    under which the service's log has the request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        detail: Detail | None = None,
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail or Detail()
        self.retry_after = retry_after
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.args[0]}" if self.code else f"{self.status}: {self.args[0]}"


class InvalidRequest(APIError):
    """400: `detail.fields` says what is wrong."""


class Unauthenticated(APIError):
    """401: no such app, or not its key."""


class Forbidden(APIError):
    """403: the room or session is another app's."""


class NotFound(APIError):
    """404: no such room, session or webhook, or the session is in no room."""


class Conflict(APIError):
    """409: it does not go with what there is; `code` says what."""


class TooManyRequests(APIError):
    """429: too soon; `detail.group` names the cooldown."""


class Unavailable(APIError):
    """503: the media node, the store or every audio relay is away, or the store is full."""


class InvalidWebhook(SwitchroomError):
    """What came is no webhook that was signed with the secret a moment ago."""


BY_STATUS: dict[int, type[APIError]] = {
    HTTPStatus.BAD_REQUEST: InvalidRequest,
    HTTPStatus.UNAUTHORIZED: Unauthenticated,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyRequests,
    HTTPStatus.SERVICE_UNAVAILABLE: Unavailable,
}
