"""Comparing what came with what a case expects; pure, so that every rule of README.md has its unit test."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tests.conformance.case import (
    ErrorExpectation,
    Expectation,
    HeaderExpectation,
    HeaderLine,
    Matches,
    RecordedStep,
    UpstreamExpectation,
)
from tests.conformance.client import many
from tests.conformance.otlp import decoded
from tests.conformance.wire import Headers, text, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.conformance.client import Response
    from tests.conformance.received import Received, Recorded

_SHOWN_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected."""

    what: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class ReportedError:
    """An error of a refused configuration. `field` is None when it is about the entity as a whole."""

    entity: str
    field: str | None
    message: str

    def __str__(self) -> str:
        place = " ".join(part for part in (self.entity, self.field) if part)
        return f"{place}: {self.message}" if place else self.message


def judge_response(expect: Expectation, response: Response, *, may_break_off: bool) -> list[Difference]:
    """All differences between one answer and what was expected of it (`upstream` and `count` apart)."""
    return list(_response(expect, response, may_break_off=may_break_off))


def judge_upstream(
    expected: UpstreamExpectation | None, requests: Sequence[Received], count: int, names: dict[str, str]
) -> list[Difference]:
    """All differences between the requests that reached backends and what was expected of each of `count`.

    `names` gives the placeholder name behind a base URL, for reports and comparison.
    """
    if expected is None:
        got = ", ".join(_summary(request) for request in requests)
        return [Difference("upstream", "no request", got)] if requests else []
    if len(requests) != count:
        got = ", ".join(_summary(request) for request in requests) or "no request"
        return [Difference("upstream", _requests(count), f"{_requests(len(requests))}: {got}" if requests else got)]
    return [difference for request in requests for difference in _upstream(expected, request, names)]


def judge_broken_requests(requests: Sequence[Received]) -> list[Difference]:
    """Malformed requests that reached a backend: never right, whatever the case expects."""
    return [
        Difference(f"request to {request.backend}", "valid HTTP", request.problem)
        for request in requests
        if request.problem
    ]


def judge_count(expect: Expectation, statuses: Sequence[int]) -> list[Difference]:
    """Differences of the totals of a repeated step; an exchange without an answer counts as status 0."""
    if expect.count is None:
        return []
    totals = Counter(statuses)
    wrong = any(totals[status] != number for status, number in expect.count.status.items())
    return [Difference("count.status", _show(expect.count.status), _show(dict(totals)))] if wrong else []


def judge_shares(expect: Expectation, requests: Sequence[Received], names: dict[str, str]) -> list[Difference]:
    """Differences of how many requests of a repeated step reached which backend."""
    if expect.count is None:
        return []
    totals = Counter(request.backend for request in requests)
    wanted = {names.get(name, name): number for name, number in expect.count.upstream.items()}

    def fits(number: int | tuple[int, int], total: int) -> bool:
        return number[0] <= total <= number[1] if isinstance(number, tuple) else number == total

    differences: list[Difference] = []
    if not all(fits(number, totals[name]) for name, number in wanted.items()):
        differences.append(Difference("count.upstream", _show(wanted), _show(dict(totals))))
    if expect.count.backends is not None and not fits(expect.count.backends, len(totals)):
        differences.append(Difference("count.backends", _show(expect.count.backends), _show(dict(totals))))
    return differences


def judge_health(expected: dict[str, dict[str, str]], found: dict[str, dict[str, str]]) -> list[Difference]:
    """Targets whose health is not as expected; there may be others."""
    return [
        Difference(f"health of {target} of {upstream}", health, found.get(upstream, {}).get(target, "absent"))
        for upstream, targets in expected.items()
        for target, health in targets.items()
        if found.get(upstream, {}).get(target) != health
    ]


def judge_record(expected: RecordedStep, record: Recorded | None) -> list[Difference]:
    """All differences between a record and what was expected of it; `None` if there was none in time."""
    if record is None:
        return [Difference("record", "one more", "none")]
    return list(_record(expected, record))


def judge_figures(present: Sequence[str], absent: Sequence[str], found: str) -> list[Difference]:
    """Lines that are missing, and expressions that are found, in figures for Prometheus."""
    lines = found.splitlines()
    missing = [Difference("figures", line, _show(found)) for line in present if line not in lines]
    return missing + [
        Difference("figures", f"nothing like {item}", _show(found)) for item in absent if re.search(item, found)
    ]


def judge_rejection(expected: Sequence[ErrorExpectation], reported: Sequence[ReportedError]) -> list[Difference]:
    """Expected errors that are not among the reported ones."""
    got = "; ".join(map(str, reported)) or "no errors"
    return [
        Difference(f"errors[{number}]", _show(item.model_dump(include=item.model_fields_set)), got)
        for number, item in enumerate(expected)
        if not any(_same_error(item, error) for error in reported)
    ]


def contains(expected: Any, actual: Any) -> bool:
    """Whether `actual` holds `expected`: maps may have more keys at every depth, everything else must be equal."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return False
        found = cast("dict[object, object]", actual)
        return all(
            key in found and contains(item, found[key]) for key, item in cast("dict[object, object]", expected).items()
        )
    return _equal(expected, actual)


def _equal(expected: Any, actual: Any) -> bool:
    """JSON equality: numbers by value, booleans apart from numbers."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        return expected == actual
    if isinstance(expected, list) and isinstance(actual, list):
        wanted, found = cast("list[object]", expected), cast("list[object]", actual)
        return len(wanted) == len(found) and all(map(_equal, wanted, found))
    if isinstance(expected, dict) and isinstance(actual, dict):
        wanted_map, found_map = cast("dict[object, object]", expected), cast("dict[object, object]", actual)
        return wanted_map.keys() == found_map.keys() and all(
            _equal(wanted_map[key], found_map[key]) for key in wanted_map
        )
    return type(expected) is type(actual) and expected == actual


def resembles(expected: Any, actual: Any) -> bool:
    """As `contains`, within lists, too; `{matches: regex}` stands for text in which the expression is found."""
    if isinstance(expected, dict):
        wanted = cast("dict[object, object]", expected)
        if wanted.keys() == {"matches"} and isinstance(actual, str):
            return re.search(str(wanted["matches"]), actual) is not None
        found = cast("dict[object, object]", actual)
        return isinstance(actual, dict) and all(
            key in found and resembles(item, found[key]) for key, item in wanted.items()
        )
    if isinstance(expected, list) and isinstance(actual, list):
        items, others = cast("list[object]", expected), cast("list[object]", actual)
        return len(items) == len(others) and all(map(resembles, items, others))
    return _equal(expected, actual)


def _record(expected: RecordedStep, record: Recorded) -> Iterator[Difference]:
    body = text(record.data)
    if expected.method is not None and record.method != expected.method:
        yield Difference("record.method", expected.method, _show(record.method))
    if expected.path is not None and record.path != expected.path:
        yield Difference("record.path", expected.path, _show(record.path))
    yield from _headers("record.header", expected.headers, (), record.headers)
    if expected.body is not None and body != expected.body:
        yield Difference("record.body", _show(expected.body), _show(body))
    if expected.body_matches is not None and not re.search(expected.body_matches, body):
        yield Difference("record.body_matches", _show(expected.body_matches), _show(body))
    if expected.says("json_body"):
        try:
            document = json.loads(body) if expected.otlp is None else decoded(expected.otlp, record.data)
        except ValueError as error:
            yield Difference("record.json", _show(expected.json_body), f"{error}: {_show(body)}")
            return
        if not resembles(expected.json_body, document):
            yield Difference("record.json", _show(expected.json_body), _show(document))


def _response(expect: Expectation, response: Response, *, may_break_off: bool) -> Iterator[Difference]:
    body = text(bytes(response.body.data))
    if expect.status is not None:
        accepted = expect.status if isinstance(expect.status, list) else [expect.status]
        if response.status not in accepted:
            # The body of an unexpected answer usually says what went wrong.
            yield Difference("status", _show(expect.status), f"{response.status} with body {_show(body)}")
    if expect.reason is not None and response.reason != expect.reason:
        yield Difference("reason", _show(expect.reason), _show(response.reason))
    yield from _headers("header", expect.headers, expect.absent_headers, response.headers)
    for name in expect.present_headers:
        if not values_of(response.headers, name):
            yield Difference(f"header {name}", "present", "absent")
    yield from _headers("trailer", expect.trailers, (), response.body.trailers)
    if expect.tunnel is not None and response.tunnel != expect.tunnel:
        yield Difference("tunnel", _show(expect.tunnel), _show(response.tunnel))
    if expect.says("certificate") and response.certificate != expect.certificate:
        yield Difference("certificate", _show(expect.certificate), _show(response.certificate))
    if expect.body is not None and body != expect.body:
        yield Difference("body", _show(expect.body), _show(body))
    if expect.body_matches is not None and not re.search(expect.body_matches, body):
        yield Difference("body_matches", _show(expect.body_matches), _show(body))
    if expect.says("json_body"):
        yield from _json("json", expect.json_body, body)
    if not response.body.complete and not may_break_off:
        yield Difference("body", "complete", f"broke off after {len(response.body.data)} bytes")
    if response.surplus:
        yield Difference("connection", "nothing after the answer", _show(text(response.surplus)))


def _upstream(expected: UpstreamExpectation, request: Received, names: dict[str, str]) -> Iterator[Difference]:
    body = text(bytes(request.body.data))
    if expected.name is not None:
        name = names.get(expected.name, expected.name)
        if request.backend != name:
            yield Difference("upstream.name", name, request.backend)
    if expected.method is not None and request.method != expected.method:
        yield Difference("upstream.method", expected.method, request.method)
    if expected.path is not None and request.path != expected.path:
        yield Difference("upstream.path", _show(expected.path), _show(request.path))
    yield from _headers("upstream.header", expected.headers, expected.absent_headers, request.headers)
    yield from _headers("upstream.trailer", expected.trailers, (), request.body.trailers)
    if expected.says("certificate") and request.certificate != expected.certificate:
        yield Difference("upstream.certificate", _show(expected.certificate), _show(request.certificate))
    if expected.body is not None and body != expected.body:
        yield Difference("upstream.body", _show(expected.body), _show(body))
    if expected.says("json_body"):
        yield from _json("upstream.json", expected.json_body, body)
    if expected.form is not None:
        wanted = {name: many(value) for name, value in expected.form.items()}
        found = urllib.parse.parse_qs(body, keep_blank_values=True)
        if found != wanted:
            yield Difference("upstream.form", _show(wanted), f"{_show(found)} from {_show(body)}")
    if not request.body.complete and not request.problem:
        yield Difference("upstream.body", "complete", f"broke off after {len(request.body.data)} bytes")


def _headers(
    what: str, expected: dict[str, HeaderExpectation], absent: Sequence[str], lines: Headers
) -> Iterator[Difference]:
    for name, expectation in expected.items():
        found = values_of(lines, name)
        wanted = expectation if isinstance(expectation, list) else [expectation]
        if len(found) != len(wanted) or not all(map(_line_is, wanted, found)):
            shown = [{"matches": line.matches} if isinstance(line, Matches) else line for line in wanted]
            got = _show(found[0] if len(found) == 1 else found) if found else "absent"
            yield Difference(f"{what} {name}", _show(shown[0] if len(shown) == 1 else shown), got)
    for name in absent:
        if found := values_of(lines, name):
            yield Difference(f"{what} {name}", "absent", _show(found[0] if len(found) == 1 else found))


def _line_is(wanted: HeaderLine, found: str) -> bool:
    return re.search(wanted.matches, found) is not None if isinstance(wanted, Matches) else wanted == found


def _json(what: str, expected: Any, body: str) -> Iterator[Difference]:
    try:
        document = json.loads(body)
    except ValueError:
        yield Difference(what, _show(expected), f"no JSON: {_show(body)}")
        return
    if not contains(expected, document):
        yield Difference(what, _show(expected), _show(document))


def _same_error(expected: ErrorExpectation, error: ReportedError) -> bool:
    if expected.entity is not None and expected.entity != error.entity:
        return False
    if expected.says("field"):
        if expected.field is None or error.field is None:
            if expected.field is not error.field:
                return False
        elif error.field != expected.field and not error.field.startswith((f"{expected.field}.", f"{expected.field}[")):
            return False
    return expected.contains in error.message


def _summary(request: Received) -> str:
    return f"{request.method} {request.path} at {request.backend}"


def _requests(count: int) -> str:
    return "exactly one request" if count == 1 else f"{count} requests"


def _show(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = f"{shown[:_SHOWN_CHARACTERS]}… ({len(shown)} characters)"
    # Bytes that are no text must not break the terminal.
    return shown.encode("utf-8", "backslashreplace").decode()
