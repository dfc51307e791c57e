"""The format is strict: what README.md does not name is refused."""

from __future__ import annotations

import pytest

from tests.conformance.case import Case, CaseError, SendStep, parse_case
from tests.conformance.files import load_file, read_yaml

pytestmark = pytest.mark.unit


def one_step(**step: object) -> dict[str, object]:
    return {"steps": [step]}


def test_defaults_of_a_request() -> None:
    step = parse_case(one_step(send={})).steps[0]

    assert isinstance(step, SendStep)
    assert (step.send.method, step.send.scheme, step.send.version) == ("GET", "http", "1.1")
    assert (step.send.host, step.send.path, step.send.source) == ("example.test", "/", "127.0.0.1")


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"steps": [{"send": {}}], "step": []}, "step: unknown key"),
        ({"steps": [{"send": {}}], "options": {"flavor": "x"}}, "options.flavor: unknown key"),
        (one_step(send={"pathh": "/"}), "pathh: unknown key"),
        (one_step(send={}, expects={}), "expects: unknown key"),
        (one_step(send={}, expect={"header": {}}), "expect.header: unknown key"),
        (one_step(send={}, expect={"upstream": {"query": "a"}}), "expect.upstream.query: unknown key"),
        (one_step(send={}, repeat=2, expect={"count": {"body": {}}}), "expect.count.body: unknown key"),
        (one_step(configure={}, expect="rejected", errors=[{"message": "x"}]), "errors.0.message: unknown key"),
        (one_step(send={}, expect={"headers": {"a": {"matches": "x", "also": 1}}}), "expect.headers.a"),
    ],
)
def test_an_unknown_key_is_an_error(document: dict[str, object], place: str) -> None:
    with pytest.raises(CaseError) as caught:
        parse_case(document)

    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({}, "exactly one of send, advance_seconds, configure, backend, dns, health, set_health, recorded and scraped"),
        (
            {"send": {}, "advance_seconds": 1},
            "exactly one of send, advance_seconds, configure, backend, dns, health, set_health, recorded and scraped",
        ),
        (
            {"wait": 1},
            "exactly one of send, advance_seconds, configure, backend, dns, health, set_health, recorded and scraped",
        ),
        ({"send": {}, "repeat": 2, "parallel": 2}, "exclude each other"),
        ({"send": {}, "repeat": 0}, "greater than or equal to 1"),
        ({"send": {}, "expect": {"count": {"status": {200: 1}}}}, "count needs repeat or parallel"),
        ({"send": {"body": "a", "json": {}}}, "only one of body"),
        ({"send": {"sni": "a.test"}}, "sni needs scheme: https"),
        ({"send": {"from": "10.0.0.1"}}, "127.0.0.0/8"),
        ({"send": {"version": "3"}}, "version"),
        ({"send": {"scheme": "ws"}}, "scheme"),
        ({"send": {"proxied": {}}}, "proxied needs listener: proxied"),
        ({"send": {"listener": "proxied", "proxied": {"client": "nobody"}}}, "proxied"),
        ({"dns": {"a.test": "gone"}}, "dns"),
        ({"send": {"body_base64": "%"}}, "not base64"),
        ({"send": {"headers": {"a": None}}}, "headers.a"),
        ({"send": {}, "expect": {"body_matches": "("}}, "not a regular expression"),
        ({"send": {}, "expect": {"headers": {"a": {"matches": "["}}}}, "not a regular expression"),
        ({"send": {"version": "2"}, "expect": {"reason": "OK"}}, "no reason phrase"),
        ({"configure": {}, "expect": "refused"}, "expect"),
        ({"configure": {}, "errors": [{"contains": "x"}]}, "errors need expect: rejected"),
        ({"advance_seconds": -1}, "greater than or equal to 0"),
        ({"advance_seconds": 1, "expect": {}}, "expect: unknown key"),
    ],
)
def test_a_step_that_breaks_a_rule_is_an_error(step: dict[str, object], reason: str) -> None:
    with pytest.raises(CaseError) as caught:
        parse_case({"steps": [step]})

    assert reason in str(caught.value)


def test_a_case_needs_steps() -> None:
    with pytest.raises(CaseError, match="steps"):
        parse_case({"description": "nothing to do"})
    with pytest.raises(CaseError, match="steps"):
        parse_case({"steps": []})


def test_scalars_become_text_where_text_is_wanted() -> None:
    document = read_yaml("steps: [{send: {version: 1.1, headers: {n: 5, t: true, on: off, d: 2020-01-01}}}]")
    case = parse_case(document)

    step = case.steps[0]
    assert isinstance(step, SendStep)
    assert step.send.version == "1.1"
    assert step.send.headers == {"n": "5", "t": "true", "on": "off", "d": "2020-01-01"}


def test_null_differs_from_absence() -> None:
    case = parse_case(one_step(send={"host": None}, expect={"upstream": None}))

    step = case.steps[0]
    assert isinstance(step, SendStep)
    assert step.send.host is None
    assert step.expect.says("upstream")
    assert not step.expect.says("json_body")


@pytest.mark.parametrize("text", ["a: 1\na: 2", "x: {b: 1, b: 2}", "a: [", "- &a 1\n- *b"])
def test_broken_yaml_is_an_error(text: str) -> None:
    with pytest.raises(CaseError):
        read_yaml(text)


def test_merges_may_be_overridden() -> None:
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_scalars_follow_the_core_rules() -> None:
    text = "[1, -2, 0x1F, 010, 1.5, 1e3, true, yes, on, 12:30:00, 1_000, ~, null]"
    assert read_yaml(text) == [1, -2, 31, 10, 1.5, 1000.0, True, "yes", "on", "12:30:00", "1_000", None, None]


class TestFiles:
    def load(self, tmp_path, text: str) -> list[object]:
        path = tmp_path / "file.yaml"
        path.write_text(text)
        return [(source.case or source.problem) for source in load_file(path, "file.yaml")]

    def test_a_file_lends_what_its_cases_lack(self, tmp_path) -> None:
        first, second = self.load(
            tmp_path,
            """
            source: the file
            features: [a]
            options: {trusted_ips: [127.0.0.1]}
            config: {services: []}
            cases:
              - {description: one, steps: [{send: {}}]}
              - {source: own, features: [b], options: {}, config: {routes: []}, steps: [{send: {}}]}
            """,
        )

        assert isinstance(first, Case)
        assert isinstance(second, Case)
        assert (first.source, first.features, first.config) == ("the file", ["a"], {"services": []})
        assert first.options.named() == {"trusted_ips": ["127.0.0.1"]}
        assert (second.source, second.features, second.config) == ("own", ["a", "b"], {"routes": []})
        assert second.options.named() == {}

    def test_one_broken_case_leaves_the_others(self, tmp_path) -> None:
        first, second = self.load(tmp_path, "cases: [{stepz: []}, {steps: [{send: {}}]}]")

        assert "stepz: unknown key" in str(first)
        assert isinstance(second, Case)

    @pytest.mark.parametrize("text", ["cases: []", "cases: [{steps: [{send: {}}]}]\nsteps: []", "[]", "", "a: ["])
    def test_a_broken_file_is_one_failing_case(self, tmp_path, text: str) -> None:
        (problem,) = self.load(tmp_path, text)

        assert isinstance(problem, str)
        assert problem
