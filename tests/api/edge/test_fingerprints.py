"""Which requests are the same one, from one version of paygate to the next."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from paygate.api.edge.idempotency import canonical
from paygate.api.routes import ENDPOINTS

CREATE = b'{"amount":1999,"currency":"eur","metadata":{"b":"2","a":"1"},"customer":{"email":"a@b"}}'
CONFIRM = (
    b'{"payment_method":{"type":"card","token":"pm_card_visa"},"return_url":"https://shop.example"}'
)
TRANSFER = b'{"payment_method":{"type":"bank_transfer","flow":"push","country":"DE"}}'
SENT: dict[str, list[bytes]] = {
    "CreatePaymentIntent": [CREATE, b'{"amount":1,"currency":"eur"}'],
    "ConfirmPaymentIntent": [CONFIRM, TRANSFER],
    "AttachPaymentMethod": [
        b'{"payment_method":{"type":"card","token":"pm_card_visa"}}',
        b'{"payment_method":null}',
    ],
    "CapturePaymentIntent": [b"{}", b'{"amount":5}'],
    "CancelPaymentIntent": [b"{}", b'{"reason":"no"}'],
    "CreateApiKey": [b'{"role":"operator"}', b'{"role":"admin","name":"a"}'],
    "RotateApiKey": [b"{}", b'{"overlap":"1h"}'],
    "RevokeApiKey": [b"{}"],
    "CreateRefund": [b"{}", b'{"amount":500,"reason":"duplicate"}'],
    "StageEvidence": [
        b"{}",
        b'{"texts":{"customer_name":"Ada","service_date":null},"files":{"receipt":null}}',
    ],
    "SubmitEvidence": [b"{}", b'{"fees_acknowledged":["visa"]}'],
    "ReplayProviderEvent": [b"{}"],
    "CreateWebhookEndpoint": [
        b'{"url":"https://shop.example/hooks"}',
        b'{"url":"https://shop.example/hooks","events":["alert.opened"],"description":"a"}',
    ],
    "UpdateWebhookEndpoint": [b"{}", b'{"status":"disabled"}'],
    "RotateWebhookSecret": [b"{}", b'{"overlap":"1h"}'],
    "ResendDelivery": [b"{}"],
    "BeginReconciliation": [b"{}"],
    "ImportReport": [b"{}"],
    "WithdrawReport": [b"{}"],
    "ChangeSettlement": [b'{"bank_amount":98213}'],
    "MatchLine": [b'{"candidate":null}', b'{"candidate":"pi_1","reason":"that day"}'],
    "ResolveDiscrepancy": [b'{"action":"resolve","reason":"credited"}'],
    "AcknowledgeAlert": [b"{}", b'{"note":"seen"}'],
}
"""What clients send, by the name of the parameters' struct."""


def bodies() -> Iterator[tuple[type[msgspec.Struct], bytes]]:
    """The parameters of every call that takes an `Idempotency-Key`, with a request of each."""
    for endpoint in ENDPOINTS:
        if endpoint.takes_key and endpoint.body is not None:
            for sent in SENT[endpoint.body.__name__]:
                yield endpoint.body, sent


every_body = pytest.mark.parametrize(
    ("body", "sent"), [pytest.param(*each, id=each[0].__name__) for each in bodies()]
)


def grown(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct as a later version has it: one more parameter, here and in all nested structs."""
    config = kind.__struct_config__
    fields: list[Any] = [("added", str | None, None)]
    for field in msgspec.structs.fields(kind):
        nested = _grown_type(field.type)
        if field.required:
            fields.append((field.name, nested))
        elif field.default_factory is not msgspec.NODEFAULT:
            fields.append(
                (field.name, nested, msgspec.field(default_factory=field.default_factory))
            )
        else:
            fields.append((field.name, nested, field.default))
    return msgspec.defstruct(
        kind.__name__,
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        tag=config.tag,
        tag_field=config.tag_field,
    )


def _grown_type(annotation: Any) -> Any:
    """A field's type, with the structs in it grown."""
    info = inspect.type_info(annotation)
    if isinstance(info, inspect.Metadata):  # a description, which changes no value
        info = info.type
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    if not any(isinstance(option, inspect.StructType) for option in options):
        return annotation
    union: Any = None
    for option in options:
        part = grown(option.cls) if isinstance(option, inspect.StructType) else type(None)
        union = part if union is None else union | part
    return union


@every_body
def test_a_later_version_takes_a_retry_for_the_same_request(
    body: type[msgspec.Struct], sent: bytes
) -> None:
    """It has parameters more, which the request of before the upgrade could not have."""
    later = msgspec.json.decode(sent, type=grown(body))
    assert canonical(later) == canonical(msgspec.json.decode(sent, type=body))


@every_body
def test_a_default_that_is_sent_is_as_good_as_left_out(
    body: type[msgspec.Struct], sent: bytes
) -> None:
    """By its value: what the decoder makes of the text is not the same object as the default."""
    least = msgspec.json.decode(sent, type=body)
    whole = json.loads(msgspec.json.encode(least))  # the request with its defaults written out
    assert canonical(msgspec.json.decode(json.dumps(whole), type=body)) == canonical(least)


@every_body
def test_what_is_sent_counts(body: type[msgspec.Struct], sent: bytes) -> None:
    """Each parameter that is not at its default, and the type of a payment method."""
    canonical_json = json.loads(canonical(msgspec.json.decode(sent, type=body)))
    assert canonical_json == json.loads(sent)


def test_parameters_in_another_order_of_the_struct_are_the_same() -> None:
    """A version may sort its parameters anew."""
    one = msgspec.defstruct("One", [("a", int), ("b", int)])
    other = msgspec.defstruct("Other", [("b", int), ("a", int)])
    assert canonical(one(a=1, b=2)) == canonical(other(a=1, b=2))


def test_structs_in_a_list_are_spelled_alike() -> None:
    item = msgspec.defstruct("Item", [("sku", str), ("count", int, 1)])
    order = msgspec.defstruct("Order", [("items", tuple[item, ...])])  # type: ignore[valid-type]
    assert json.loads(canonical(order((item("a"), item("b", 2))))) == {
        "items": [{"sku": "a"}, {"sku": "b", "count": 2}]
    }
