"""Every exception becomes one shape with a stable code; none tells what it should not."""

import json

import pytest

from paygate.api.edge.errors import STATUS, encode_error, headers_of, refusal_of
from paygate.domain.errors import CATALOGUE, ErrorCode, ErrorType, Refusal
from paygate.storage.change import Impossible, OutcomeUnknown, Outdated, Overloaded, Unavailable

SECRET = "xxSECRETxx"


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Overloaded(SECRET), ErrorCode.OVERLOADED, 503),
        (Unavailable(SECRET), ErrorCode.OVERLOADED, 503),
        (OutcomeUnknown(SECRET), ErrorCode.OUTCOME_UNKNOWN, 503),
        (Outdated(SECRET), ErrorCode.NODE_OUTDATED, 503),
        (Impossible(SECRET), ErrorCode.INTERNAL_ERROR, 500),
        (RuntimeError(SECRET), ErrorCode.INTERNAL_ERROR, 500),
        (KeyError(SECRET), ErrorCode.INTERNAL_ERROR, 500),
    ],
)
def test_faults_say_nothing_of_their_cause(error: Exception, code: ErrorCode, status: int) -> None:
    refusal = refusal_of(error)
    assert (refusal.code, STATUS[refusal.code]) == (code, status)
    body = encode_error(refusal, "req_1")
    assert SECRET.encode() not in body
    assert json.loads(body)["error"]["request_id"] == "req_1"


def test_a_503_says_when_to_come_again() -> None:
    for code in ErrorCode:
        headers = headers_of(Refusal(code, "no"))
        assert ("Retry-After" in headers) == (STATUS[code] == 503)
        assert ("WWW-Authenticate" in headers) == (STATUS[code] == 401)
    assert headers_of(Refusal(ErrorCode.OVERLOADED, "no", retry_after_seconds=7)) == {
        "Retry-After": "7"
    }


def test_what_a_client_got_wrong_is_not_worth_a_retry() -> None:
    for entry in CATALOGUE.values():
        if entry.type is ErrorType.INVALID_REQUEST:
            assert not entry.retriable
