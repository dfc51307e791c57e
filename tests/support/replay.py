"""Recorded requests of released clients, sent again.

A recording is our own log of a client's traffic: per step a call, its body, the status and the shape of the answer. Names in
braces stand for what differs from run to run: `{id-1}` for an id, `{key-ec}` for a private key. `~` in a path stands for
`/v2/control-planes/{cp}/core-entities`. `names` says which placeholder the answer's id fills; others are made up.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from starlette.testclient import TestClient

from tests.support import pem

RECORDINGS: Final = Path(__file__).parents[1] / "api" / "replays" / "recordings"
_PLACEHOLDER: Final = re.compile(r"\{([a-z]+(?:-[a-z0-9]+)?)\}")
_LISTS: Final = frozenset({"data", "items", "consumers", "consumer_groups", "plugins"})
_WRITTEN_ONLY: Final = frozenset({"password", "value", "created_at", "updated_at"})
_WRAPPERS: Final = ("item", "consumer_group")


def recording(name: str) -> dict[str, Any]:
    """A recording: `client`, `shapes` by name, and `rounds`, each a list of steps."""
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def shape(answer: object) -> str:
    """The names of an answer's fields, and of those of the items that it lists."""
    if not isinstance(answer, dict):
        return type(answer).__name__
    fields: dict[str, Any] = answer
    return " ".join(_told(name, fields[name]) for name in sorted(fields))


def _told(name: str, value: object) -> str:
    if name not in _LISTS or not isinstance(value, list):
        return name
    entries: list[object] = value
    return f"{name}[{' | '.join(sorted({shape(item) for item in entries}))}]"


class Replay:
    """One run of a recording against an API, for one organization."""

    def __init__(self, client: TestClient, headers: Mapping[str, str], recorded: Mapping[str, Any]) -> None:
        self._client = client
        self._headers = dict(headers)
        self._shapes: Mapping[str, str] = recorded["shapes"]
        self._known = _pem_texts()
        self.sent: dict[str, Any] = {}
        """The last body that was accepted for an id."""
        self.shown: dict[str, Any] = {}
        """What was answered to it."""

    def run(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """Send every step in turn.

        Each must be answered as it was then, and nothing may read otherwise than it was written.
        """
        for step in steps:
            self._send(step)

    def path(self, text: str) -> str:
        """A recorded path with everything in it filled in."""
        return self._filled(text.replace("~", "/v2/control-planes/{cp}/core-entities", 1))

    def _send(self, step: Mapping[str, Any]) -> None:
        method, path = step["call"].split(" ", 1)
        body = self._filled(step["body"]) if "body" in step else None
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        content = None if body is None else json.dumps(body)
        response = self._client.request(method, self.path(path), headers=headers, content=content)
        assert response.status_code == step["status"], f"{step['call']}: {response.text}"
        if "names" in step:
            self._known[step["names"]] = _core(response.json())["id"]
        if "shape" not in step:
            return
        answer = response.json()
        assert shape(answer) == self._shapes[step["shape"]], step["call"]
        if response.status_code < 300:
            self._compare(step["call"], method, body, answer)

    def _compare(self, call: str, method: str, body: Any, answer: Any) -> None:
        core = _core(answer)
        if method in {"POST", "PUT", "PATCH"} and "id" in core:
            assert (call, differences(body, core)) == (call, [])
            self.sent[core["id"]], self.shown[core["id"]] = body, core
        if method != "GET":
            return
        for item in [core, *answer.get("data", ()), *answer.get("items", ())]:
            if (written := self.shown.get(item.get("id", ""))) is not None:
                # A certificate tells of the SNIs that came after it.
                assert {**item, "snis": None} == {**written, "snis": None}, call
                assert (call, differences(self.sent[item["id"]], item)) == (call, [])

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda found: self._known.setdefault(found[1], str(uuid4())), value)
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self._filled(item) for name, item in value.items()}
        return value


def differences(wanted: Any, found: Any, place: str = "") -> list[str]:
    """Where what is found is not what was asked for; null asks for nothing, and what is only written is not looked at."""
    if wanted is None:
        return []
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = [name for name in wanted if name in found and name not in _WRITTEN_ONLY]
        return [text for name in names for text in differences(wanted[name], found[name], f"{place}.{name}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [text for at, (one, other) in pairs for text in differences(one, other, f"{place}[{at}]")]
    return [] if wanted == found else [f"{place}: {wanted!r} is read as {found!r}"]


def _core(answer: Any) -> Any:
    """The entity itself, where an answer wraps it."""
    for wrapper in _WRAPPERS:
        if "id" not in answer and isinstance(answer.get(wrapper), dict):
            return answer[wrapper]
    return answer


def _pem_texts() -> dict[str, str]:
    ec, rsa = pem.pair(1), pem.pair(2, "rsa")
    public = load_pem_private_key(rsa[1].encode(), None).public_key()
    return {
        "certificate-ec": ec[0],
        "key-ec": ec[1],
        "certificate-rsa": rsa[0],
        "key-rsa": rsa[1],
        "public-rsa": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "authority": pem.authority(1),
    }
