"""The gateway reads the requests of the seed exactly as printed, and refuses all other invalid JSON."""

from __future__ import annotations

import pytest

from gateway import seed_json
from tests.integration.gateway.asking import Running, assert_problem
from tests.integration.gateway.routes import CHANGES, CUSTOMER, EMAIL, PRODUCT

JSON = {"Content-Type": "application/json"}
SMS = b"""{
    "number": +79994413746,
    "content": "Your order is ready!"
}"""
PAYMENT = b"""{
            "order_id": "or_1AxW4eBqraFdOKT2HIrPPf3m"
            "cart": "tok_mastercard"
}"""
PRODUCT_AS_PRINTED = b"""{
      "name": "Wally bone",
      "description" : "The best gift for your pet",
      "attributes" : ["manufacturer",
                          "material"],
      "package_dimensions" :  {"height": 5.0, "length": 5.0,
                               "weight": 5.0, "width": 5.0},
      "metadata": {
      "category": "food",
      "for": "cats",
      "type": "fish"
      },
      "attributes_sku": {
      "manufacturer": "PetHappy",
      "material": "rubber"},
      "price": 50,
      "inventory":{
      "type": "finite",
      "quantity": 500
      }
}"""
CHANGES_AS_PRINTED = b"""{
\t"metadata": {"category": "toys", "for": "dogs", "type": "bone"},
\t"name": "Test_put",
    "description": "For small dogs"
}"""
EMAIL_AS_PRINTED = b""" {
\t"to_email": "tamara.malysheva@saritasa.com",
\t"from_email": "test@example.com",
\t"subject" : "blabla",
\t"content" : "content"
}"""
CHECKOUT_AS_PRINTED = b"""{
   "email": "varvara.malysheva@saritasa.com",
   "phone": "+79994413746",
   "name": "Chloe Taylor",

   "address":{
      "line1":"1092 Indian Summer Ct",
      "city":"San Jose",
      "state":"CA",
      "country": "US",
      "postal_code":"95122"
   }
}"""


def service_arguments(shop: Running, method: str, path: str, raw: bytes) -> list[object]:
    answer = shop.ask(method, path, raw=raw, headers=JSON)
    assert answer.status < 300, answer.raw
    arguments: list[object] = answer.json["args"]
    return arguments


def test_the_seeds_requests_are_read_as_printed(shop: Running) -> None:
    assert service_arguments(shop, "POST", "/api/products/", PRODUCT_AS_PRINTED)[0] == PRODUCT
    assert service_arguments(shop, "PUT", "/api/products/prod_1/", CHANGES_AS_PRINTED)[:2] == ["prod_1", CHANGES]
    assert service_arguments(shop, "POST", "/api/notifications/email/", EMAIL_AS_PRINTED)[:4] == [
        EMAIL["to_email"],
        EMAIL["subject"],
        EMAIL["content"],
        EMAIL["from_email"],
    ]
    assert service_arguments(shop, "POST", "/api/cart/prod_BByyzCWSMmhL7R/buy/", b' {\n\t"quality": 5\n}')[2] == 5
    assert service_arguments(shop, "PUT", "/api/cart/prod_BByyzCWSMmhL7R/", b' {\n\t"quality": 1\n}')[2] == 1
    assert service_arguments(shop, "POST", "/api/cart/checkout/", CHECKOUT_AS_PRINTED)[:2] == ["default", CUSTOMER]


def test_sms_of_the_seed_is_read_despite_invalid_json(shop: Running) -> None:
    assert service_arguments(shop, "POST", "/api/notifications/sms/", SMS)[:2] == [
        "+79994413746",
        "Your order is ready!",
    ]
    assert service_arguments(
        shop, "POST", "/api/notifications/sms/", b' {"content": "Hi",\r\n"number" :\t+79994413746}'
    )[:2] == [
        "+79994413746",
        "Hi",
    ]


def test_payment_of_the_seed_is_read_despite_invalid_json(shop: Running) -> None:
    wanted = ["default", "or_1AxW4eBqraFdOKT2HIrPPf3m", "tok_mastercard"]
    assert service_arguments(shop, "POST", "/api/cart/paid/", PAYMENT)[:3] == wanted
    assert service_arguments(shop, "POST", "/api/cart/paid/", PAYMENT.replace(b"\n", b"\r\n"))[:3] == wanted


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/api/cart/paid/", SMS),
        ("/api/notifications/sms/", PAYMENT),
        ("/api/cart/paid/", PAYMENT.replace(b"\n            ", b" ")),  # the misprint of the seed spans two lines
        ("/api/cart/paid/", PAYMENT.replace(b'"cart"', b'"card"')),
        ("/api/cart/paid/", PAYMENT + b","),
        ("/api/cart/paid/", PAYMENT.replace(b'"tok', b"tok")),
        ("/api/cart/paid/", b'{"cart": "tok_visa"\n"order_id": "or_1"}'),
        ("/api/notifications/sms/", SMS.replace(b"+7", b"++7")),
        ("/api/notifications/sms/", SMS.replace(b"+7", b"+ 7")),
        ("/api/notifications/sms/", SMS.replace(b"+7", b"+0")),
        ("/api/notifications/sms/", SMS.replace(b'"number"', b'"to_phone"')),
        ("/api/notifications/sms/", SMS.replace(b"!", b"\xff")),
        ("/api/notifications/sms/", b'{"number": +7999441374'),
        ("/api/notifications/email/", SMS),
        ("/api/cart/checkout/", SMS),
        ("/api/cart/prod_1/buy/", b'{"quality": +5}'),
        ("/api/products/", SMS),
    ],
)
def test_other_invalid_json_is_refused(shop: Running, path: str, raw: bytes) -> None:
    assert_problem(shop.ask("POST", path, raw=raw, headers=JSON), 400)


def test_content_of_a_string_is_not_changed(shop: Running) -> None:
    escaped = r"say \"number\": +79990000000 twice"
    raw = SMS.replace(b"Your order is ready!", escaped.encode())
    assert service_arguments(shop, "POST", "/api/notifications/sms/", raw)[1] == 'say "number": +79990000000 twice'
    text = '{"content": "\\"order_id\\": \\"or_1\\"\\n \\"cart\\": 1", "order_id": "or_2"\n "cart": "tok_visa"}'
    assert seed_json.payment(text) == text.replace('"or_2"', '"or_2",')


@pytest.mark.parametrize("text", [r'{"my \"number": +79994413746}', r'{"a": "\"number" : +7}'])
def test_name_that_ends_like_the_field_is_ignored(text: str) -> None:
    assert seed_json.sms(text) == text
    as_payment = text.replace("number", "order_id").replace(": +7", ': "x"\n "cart": "')
    assert seed_json.payment(as_payment) == as_payment


@pytest.mark.no_cover
@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "hostile", ['"' + '\\"' * 500_000, '"order_id":' * 90_000, '"' * 999_999, '"number":+' * 100_000]
)
def test_hostile_text_is_read_in_linear_time(hostile: str) -> None:
    seed_json.sms("{" + hostile)
    seed_json.payment("{" + hostile)
