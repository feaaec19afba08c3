"""Errors as clients read them."""

import json

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from octopus_graph.errors import (
    ConfigurationError,
    ExpertError,
    InputError,
    MissingExtraError,
    OctopusError,
    StoreError,
    UnknownExpertError,
)
from octopus_graph_server.problems import NotFoundError, TooManyRunsError, answer

SECRET = "the prompt"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFoundError("There is no thread t."), 404, "not_found"),
        (InputError("The request is empty."), 400, "bad_request"),
        (UnknownExpertError("magic", ["math"]), 422, "unprocessable"),
        (ConfigurationError("This router carries no calibration."), 422, "unprocessable"),
        (ExpertError({"math": SECRET}), 502, "expert_failed"),
        (MissingExtraError("server", "It"), 503, "unavailable"),
        (StoreError(SECRET), 503, "unavailable"),
        (TimeoutError(SECRET), 504, "timed_out"),
        (HTTPException(405, headers={"allow": "GET"}), 405, "method_not_allowed"),
        (HTTPException(418, "teapot"), 418, "bad_request"),
        (OctopusError(SECRET), 500, "internal_error"),
        (ZeroDivisionError(SECRET), 500, "internal_error"),
    ],
)
def test_each_error_has_a_status_and_a_sentence(error: Exception, status: int, code: str) -> None:
    response = answer(error, "/threads", "id-1")
    body = json.loads(bytes(response.body))
    assert response.status_code == body["status"] == status
    assert response.media_type == "application/problem+json"
    assert body["code"] == code
    assert body["request_id"] == "id-1"
    assert body["detail"]
    assert SECRET not in bytes(response.body).decode()


def test_openai_clients_get_their_own_shape() -> None:
    response = answer(TooManyRunsError("Try again.", param="n", headers={"retry-after": "1"}), "/v1/chat/completions")
    assert json.loads(bytes(response.body)) == {
        "error": {"message": "Try again.", "type": "rate_limit_error", "param": "n", "code": "too_many_runs"}
    }
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"), (500, "server_error")],
)
def test_openai_kinds_follow_the_status(status: int, kind: str) -> None:
    body = json.loads(bytes(answer(HTTPException(status), "/v1/models").body))
    assert body["error"]["type"] == kind


def test_a_wrong_field_is_named_and_what_stood_in_it_is_not() -> None:
    error = RequestValidationError(
        [{"loc": ("body", "messages", 0), "msg": "Input should be an object", "input": SECRET, "type": "dict_type"}] * 9
    )
    text = bytes(answer(error, "/v1/chat/completions").body).decode()
    assert SECRET not in text
    said = json.loads(text)["error"]
    assert said["param"] == "messages.0"
    assert said["message"].count("Input should be an object") == 5
