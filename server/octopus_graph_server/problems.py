"""Errors as clients read them: one sentence that says what to do, never a prompt, never a stack trace.

    /v1/…        {"error": {"message", "type", "param", "code"}}               OpenAI's shape
    elsewhere    {"type", "title", "status", "detail", "request_id"}           RFC 9457, application/problem+json

An endpoint raises; `answer` writes. Errors of the core are translated by `refusal_of`.
"""

import json
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from octopus_graph.errors import (
    ConfigurationError,
    ExpertError,
    InputError,
    MissingExtraError,
    OctopusError,
    StoreError,
)

__all__ = [
    "OPENAI",
    "BadRequestError",
    "ConflictError",
    "ForbiddenError",
    "NotBuiltError",
    "NotFoundError",
    "RefusedError",
    "TimedOutError",
    "TooLargeError",
    "TooManyRunsError",
    "UnauthorizedError",
    "UnavailableError",
    "UnprocessableError",
    "answer",
    "body",
    "refusal_of",
]


OPENAI = "/v1/"


class RefusedError(OctopusError):
    """A request that is not answered as asked.

    Attributes:
        status: The HTTP status.
        code: The same for programs, `not_found` for instance.
    """

    status: int = 500
    code: str = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Takes the sentence.

        Args:
            message: What is wrong and what to do; shown to the client.
            param: The field of the request that is wrong.
            headers: Further headers of the answer.
        """
        super().__init__(message)
        self.param = param
        self.headers = dict(headers or {})


class BadRequestError(RefusedError):
    """The request cannot be read."""

    status = 400
    code = "bad_request"


class UnauthorizedError(RefusedError):
    """There is no key, or a wrong one."""

    status = 401
    code = "invalid_api_key"


class ForbiddenError(RefusedError):
    """Whoever asks may not."""

    status = 403
    code = "forbidden"


class NotFoundError(RefusedError):
    """What is asked for is not there."""

    status = 404
    code = "not_found"


class ConflictError(RefusedError):
    """What is asked for does not go with what is there."""

    status = 409
    code = "conflict"


class TooLargeError(RefusedError):
    """The body or the prompt is too long."""

    status = 413
    code = "too_large"


class UnprocessableError(RefusedError):
    """The request can be read, but makes no sense."""

    status = 422
    code = "unprocessable"


class TooManyRunsError(RefusedError):
    """As many runs go on as the server allows."""

    status = 429
    code = "too_many_runs"


class NotBuiltError(RefusedError):
    """What the API has and this server has not."""

    status = 501
    code = "not_implemented"


class ExpertFailedError(RefusedError):
    """An expert did not answer."""

    status = 502
    code = "expert_failed"


class UnavailableError(RefusedError):
    """The server is shutting down, or its store does not answer."""

    status = 503
    code = "unavailable"


class TimedOutError(RefusedError):
    """The request took longer than it may."""

    status = 504
    code = "timed_out"


_SENTENCES = {
    404: "There is nothing at this path: /docs lists what there is.",
    405: "This path does not take this method: the header Allow names those it takes.",
}
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def refusal_of(error: BaseException) -> RefusedError:  # noqa: PLR0911 - one line for each kind
    """Translates any error; one nobody foresaw becomes a 500 that says nothing of its inside."""
    match error:
        case RefusedError():
            return error
        case HTTPException():
            return _translated(error)
        case RequestValidationError():
            return _invalid(error)
        case InputError():
            return BadRequestError(str(error))
        case ExpertError():
            names = ", ".join(repr(name) for name in error.failures)
            return ExpertFailedError(f"The experts asked ({names}) did not answer: ask again, or see the server's log.")
        case ConfigurationError():
            return UnprocessableError(str(error))
        case MissingExtraError():
            return UnavailableError(str(error))
        case TimeoutError():
            return TimedOutError("The request took longer than this server allows: ask for less, or stream.")
        case StoreError():
            return UnavailableError("The server's store does not answer: try again.", headers={"retry-after": "1"})
        case _:
            return RefusedError("Something went wrong in the server: its log names this request's id.")


def answer(error: BaseException, path: str, request_id: str | None = None) -> Response:
    """Makes the response to an error, in the shape the clients of a path expect."""
    refusal = refusal_of(error)
    media_type = "application/json" if path.startswith(OPENAI) else "application/problem+json"
    content = json.dumps(body(refusal, path, request_id))
    return Response(content, refusal.status, refusal.headers, media_type)


def body(refusal: RefusedError, path: str, request_id: str | None) -> dict[str, Any]:
    """Makes the body of the response to a refusal."""
    if path.startswith(OPENAI):
        kind = _openai_type(refusal.status)
        return {"error": {"message": str(refusal), "type": kind, "param": refusal.param, "code": refusal.code}}
    return {
        "type": "about:blank",
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": refusal.status,
        "detail": str(refusal),
        "code": refusal.code,
        "request_id": request_id,
    }


def _translated(error: HTTPException) -> RefusedError:
    """Takes over a status that Starlette decided on."""
    sentence = _SENTENCES.get(error.status_code, str(error.detail))
    refusal = RefusedError(sentence, headers=error.headers)
    refusal.status = error.status_code
    refusal.code = _CODES.get(error.status_code, "bad_request")
    return refusal


def _openai_type(status: int) -> str:
    match status:
        case 401:
            return "authentication_error"
        case 403:
            return "permission_error"
        case 429:
            return "rate_limit_error"
        case _ if status >= 500:
            return "server_error"
        case _:
            return "invalid_request_error"


def _invalid(error: RequestValidationError) -> UnprocessableError:
    """Names the fields that are wrong, and never what stood in them."""
    said: list[str] = []
    first: str | None = None
    for problem in error.errors()[:5]:
        place = ".".join(str(part) for part in problem["loc"] if part != "body")[:200]
        first = first or place or None
        message = str(problem["msg"]).partition(", input:")[0][:200]
        said.append(f"{place}: {message}" if place else message)
    return UnprocessableError(f"The request is not what this endpoint takes: {'; '.join(said)}.", param=first)
