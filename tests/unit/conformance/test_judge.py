from __future__ import annotations

import pytest

from tests.conformance.case import ErrorExpectation, Expectation, RecordedStep, UpstreamExpectation
from tests.conformance.client import Response
from tests.conformance.judge import (
    ReportedError,
    contains,
    judge_broken_requests,
    judge_count,
    judge_figures,
    judge_record,
    judge_rejection,
    judge_response,
    judge_upstream,
)
from tests.conformance.received import Received, Recorded
from tests.conformance.wire import Body

pytestmark = pytest.mark.unit

HEADERS = [("Content-Type", "application/json"), ("X-Many", "a"), ("x-many", "b"), ("X-N", "12")]


def answer(body: str = '{"a": {"b": [1, {"c": null}]}, "t": true}', **changes) -> Response:
    fields = {"status": 200, "reason": "OK", "headers": HEADERS, "complete": True, "surplus": b""} | changes
    return Response(
        "1.1",
        fields["status"],
        fields["reason"],
        fields["headers"],
        Body(bytearray(body.encode()), fields["complete"]),
        fields["surplus"],
    )


def differences(expect: dict, response: Response, **options) -> list[str]:
    expectation = Expectation.model_validate(expect)
    return [
        item.what for item in judge_response(expectation, response, may_break_off=options.get("may_break_off", False))
    ]


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {"status": 200},
        {"status": [404, 200]},
        {"reason": "OK"},
        {"headers": {"CONTENT-type": "application/json", "x-n": {"matches": r"^\d+$"}}},
        {"headers": {"x-many": ["a", "b"]}},
        {"headers": {"x-many": [{"matches": "a"}, "b"]}},
        {"headers": {"x-n": 12}},
        {"absent_headers": ["x-other"]},
        {"body_matches": r'"b": \['},
        {"json": {"a": {"b": [1, {"c": None}]}}},
        {"json": {"t": True}},
        {"json": {}},
    ],
)
def test_what_passes(expect: dict) -> None:
    assert differences(expect, answer()) == []


@pytest.mark.parametrize(
    ("expect", "what"),
    [
        ({"status": 201}, "status"),
        ({"status": [404, 500]}, "status"),
        ({"reason": "Fine"}, "reason"),
        ({"headers": {"x-none": "a"}}, "header x-none"),
        ({"headers": {"x-many": "a"}}, "header x-many"),
        ({"headers": {"x-many": {"matches": "a"}}}, "header x-many"),
        ({"headers": {"x-many": ["b", "a"]}}, "header x-many"),
        ({"headers": {"x-many": ["a"]}}, "header x-many"),
        ({"headers": {"x-n": {"matches": "^1$"}}}, "header x-n"),
        ({"absent_headers": ["X-MANY"]}, "header X-MANY"),
        ({"body": ""}, "body"),
        ({"body_matches": "^b"}, "body_matches"),
        ({"json": {"a": {"b": [1]}}}, "json"),
        ({"json": {"a": {"b": [1, {}]}}}, "json"),
        ({"json": {"t": 1}}, "json"),
        ({"json": {"n": None}}, "json"),
        ({"json": None}, "json"),
    ],
)
def test_what_fails(expect: dict, what: str) -> None:
    assert differences(expect, answer()) == [what]


def test_multi_line_matching_is_off() -> None:
    assert differences({"body_matches": "^second"}, answer("first\nsecond")) == ["body_matches"]
    assert differences({"body_matches": r"first\nsecond$"}, answer("first\nsecond")) == []


def test_a_body_that_is_no_json() -> None:
    assert differences({"json": {}}, answer("no")) == ["json"]


def test_an_answer_that_breaks_off_fails_unless_asked_for() -> None:
    assert differences({"status": 200}, answer(complete=False)) == ["body"]
    assert differences({"status": 200}, answer(complete=False), may_break_off=True) == []


def test_bytes_behind_the_answer_fail() -> None:
    assert differences({}, answer(surplus=b"x")) == ["connection"]


@pytest.mark.parametrize(
    ("expected", "actual", "holds"),
    [
        ({"a": 1}, {"a": 1.0, "b": 2}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ([{"a": 1}], [{"a": 1, "b": 2}], False),
        ([1, 2], [1, 2, 3], False),
        (1, True, False),
        (False, 0, False),
        ("1", 1, False),
        (None, None, True),
        ({"a": 1}, [1], False),
    ],
)
def test_containment(expected, actual, holds) -> None:
    assert contains(expected, actual) is holds


def received(**changes) -> Received:
    fields = {
        "backend": "$upstream",
        "method": "POST",
        "path": "/x%2Fy?q=1",
        "headers": [("Host", "h"), ("A", "1"), ("a", "2")],
        "body": b"p=1&q=a&q=b&e=",
        "problem": "",
    } | changes
    request = Received(fields["backend"], fields["method"], fields["path"], "1.1", fields["headers"])
    request.body = Body(bytearray(fields["body"]), complete=True)
    request.problem = fields["problem"]
    return request


def reached(expect: dict | None, requests: list[Received], count: int = 1) -> list[str]:
    expectation = None if expect is None else UpstreamExpectation.model_validate(expect)
    names = {"http://127.0.0.1:1": "$upstream"}
    return [item.what for item in judge_upstream(expectation, requests, count, names)]


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {"name": "http://127.0.0.1:1", "method": "POST", "path": "/x%2Fy?q=1"},
        {"headers": {"host": "h", "a": ["1", "2"]}, "absent_headers": ["b"]},
        {"body": "p=1&q=a&q=b&e="},
        {"form": {"q": ["a", "b"], "p": 1, "e": ""}},
    ],
)
def test_what_a_backend_may_have_seen(expect: dict) -> None:
    assert reached(expect, [received()]) == []


@pytest.mark.parametrize(
    ("expect", "what"),
    [
        ({"name": "http://127.0.0.1:2"}, "upstream.name"),
        ({"method": "GET"}, "upstream.method"),
        ({"path": "/x/y?q=1"}, "upstream.path"),
        ({"headers": {"a": "1"}}, "upstream.header a"),
        ({"absent_headers": ["host"]}, "upstream.header host"),
        ({"body": "p=1"}, "upstream.body"),
        ({"form": {"p": "1"}}, "upstream.form"),
        ({"json": {}}, "upstream.json"),
    ],
)
def test_what_it_must_not_have_seen(expect: dict, what: str) -> None:
    assert reached(expect, [received()]) == [what]


def test_exactly_one_request_or_none() -> None:
    assert reached({}, []) == ["upstream"]
    assert reached({}, [received(), received()]) == ["upstream"]
    assert reached({}, [received(), received()], count=2) == []
    assert reached(None, []) == []
    assert reached(None, [received()]) == ["upstream"]


def test_malformed_requests_are_never_right() -> None:
    assert [item.what for item in judge_broken_requests([received(problem="x"), received()])] == [
        "request to $upstream"
    ]


def test_totals() -> None:
    expect = Expectation.model_validate({"count": {"status": {200: 2, 429: 1}}})

    assert judge_count(expect, [200, 429, 200]) == []
    assert judge_count(expect, [200, 429, 429])[0].got == '{"200": 1, "429": 2}'
    assert judge_count(Expectation(), [0]) == []


ERRORS = [
    ReportedError("plugin", "config.add.headers[0]", "expected a string"),
    ReportedError("route", None, "must set one of 'methods', 'hosts'"),
]


@pytest.mark.parametrize(
    "item",
    [
        {"entity": "plugin", "field": "config.add.headers", "contains": "expected"},
        {"field": "config"},
        {"field": "config.add.headers[0]"},
        {"contains": "must set one of"},
        {"entity": "route", "field": None},
    ],
)
def test_errors_that_are_among_the_reported(item: dict) -> None:
    assert judge_rejection([ErrorExpectation.model_validate(item)], ERRORS) == []


@pytest.mark.parametrize(
    "item",
    [
        {"entity": "route", "field": "config"},
        {"field": "config.add.header"},
        {"field": "config.add.headers[0].x"},
        {"entity": "plugin", "field": None},
        {"contains": "unknown"},
    ],
)
def test_errors_that_are_not(item: dict) -> None:
    assert len(judge_rejection([ErrorExpectation.model_validate(item)], ERRORS)) == 1


def recorded(expect: dict, record: Recorded | None) -> list[str]:
    step = RecordedStep.model_validate({"recorded": "$receiver"} | expect)
    return [difference.what for difference in judge_record(step, record)]


RECORD = Recorded(b'{"spans": [{"name": "a", "id": "ff01"}]}', "POST", "/logs", [("Content-Type", "application/json")])


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {"method": "POST", "path": "/logs", "headers": {"content-type": "application/json"}},
        {"body_matches": "ff01"},
        {"json": {"spans": [{"name": "a"}]}},
        {"json": {"spans": [{"id": {"matches": "^[0-9a-f]{4}$"}}]}},
    ],
)
def test_records_that_are_as_expected(expect: dict) -> None:
    assert recorded(expect, RECORD) == []


@pytest.mark.parametrize(
    ("expect", "what"),
    [
        ({"method": "PUT"}, "record.method"),
        ({"path": "/"}, "record.path"),
        ({"headers": {"content-type": "text/plain"}}, "record.header content-type"),
        ({"body": "{}"}, "record.body"),
        ({"body_matches": "^ff"}, "record.body_matches"),
        ({"json": {"spans": []}}, "record.json"),
        ({"json": {"spans": [{"name": "a", "kind": 1}]}}, "record.json"),
        ({"json": {"spans": [{"id": {"matches": "^01$"}}]}}, "record.json"),
        ({"otlp": "traces", "json": {}}, "record.json"),
    ],
)
def test_records_that_are_not(expect: dict, what: str) -> None:
    assert recorded(expect, RECORD) == [what]
    assert recorded(expect, None) == ["record"]


def test_figures_have_lines_and_lack_others() -> None:
    found = 'a{b="1"} 2\nc 3\n'
    assert judge_figures(['a{b="1"} 2'], ["^d"], found) == []
    assert [difference.expected for difference in judge_figures(["c"], [r"c \d"], found)] == ["c", r"nothing like c \d"]
