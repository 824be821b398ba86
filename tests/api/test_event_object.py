"""The bytes of a webhook's body, one by one: a library that spells JSON otherwise would change what
receivers verify and compare.
"""

from datetime import UTC, datetime

from paygate.api.event_object import event_body
from paygate.domain import alert, event
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject

AT = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
BODY = (
    '{"object":"event","id":"evt_1","livemode":true,"type":"alert.opened","object_version":1,'
    '"correction":false,"request_id":null,"data":{"object":{"object":"alert","id":"al_1",'
    '"livemode":true,"type":"transfer_excess","stage":null,"severity":"warning","status":"open",'
    '"subject":{"object":"payment_intent","id":"pi_1"},'
    '"message":"é \N{GRINNING FACE} \u2028 <&> \\"quoted\\" 1000000000000000",'
    '"what_to_do":"","due_at":null,"count":1,"first_at":"2026-11-24T12:00:00.123Z",'
    '"last_at":"2026-11-24T12:00:00.123Z","acknowledged":null,'
    '"created_at":"2026-11-24T12:00:00.123Z"}},"created_at":"2026-11-24T12:00:00.123Z"}'
)


def test_a_body_is_these_bytes() -> None:
    problem = Problem(
        type=AlertType.TRANSFER_EXCESS,
        subject=Subject("payment_intent", "pi_1"),
        severity="warning",
        message=f'é \N{GRINNING FACE} \u2028 <&> "quoted" {10**15}',
        what_to_do="",
    )
    raised = alert.raised(problem, alert_id="al_1", merchant="m", livemode=True, at=AT)
    told = event.of(raised, "alert.opened", event_id="evt_1", at=AT, request_id=None)
    assert event_body(told) == BODY.encode()
