"""`python -m tests.conformance.run`: play all cases below a directory and report.

Settings come from the environment, see README.md. Exit code 0: nothing failed; 1: something did; 2: wrong settings.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.conformance.engines import EngineGateway
from tests.conformance.files import CaseSource, load_tree
from tests.conformance.judge import Difference
from tests.conformance.play import Failure, Launch, Outcome, play

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_CASES: Final = Path(__file__).parent / "cases"
ABILITIES: Final = frozenset({"grpc", "http2", "tls"})


class SettingsError(Exception):
    """A setting has no usable value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to play and how."""

    cases: Path = DEFAULT_CASES
    only: str = ""
    features: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    allow_missing: frozenset[str] = frozenset()
    report: Path | None = None
    parallel: int = 16

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read CASES, ONLY, FEATURES, SKIP, ALLOW_MISSING, REPORT and PARALLEL; empty counts as unset.

        Raises: SettingsError.
        """
        cases = Path(environment.get("CASES") or DEFAULT_CASES)
        if not cases.exists():
            message = f"CASES: no such file or directory: {cases}"
            raise SettingsError(message)
        parallel = environment.get("PARALLEL") or "16"
        if not parallel.isascii() or not parallel.isdigit() or not 1 <= int(parallel) <= 256:
            message = f"PARALLEL: must be a number from 1 to 256, is {parallel!r}"
            raise SettingsError(message)
        report = environment.get("REPORT")
        return cls(
            cases=cases,
            only=environment.get("ONLY", ""),
            features=_words(environment.get("FEATURES", "")),
            skip=_words(environment.get("SKIP", "")),
            allow_missing=_words(environment.get("ALLOW_MISSING", "")),
            report=Path(report) if report else None,
            parallel=int(parallel),
        )


def select(cases: Iterable[CaseSource], settings: Settings) -> list[CaseSource]:
    """The cases that ONLY and FEATURES ask for. A broken one has no reliable tags and always stays in the race."""
    wanted = settings.only.lower()
    return [
        source
        for source in cases
        if (wanted in source.file.lower() or wanted in source.name.lower())
        and (not settings.features or source.case is None or settings.features & set(source.case.features))
    ]


def verdict_before(source: CaseSource, settings: Settings) -> Outcome | None:
    """Skipped by SKIP, or skipped or failed for an ability that the runner lacks; None when it is to be played."""
    if source.case is None:
        return None
    if unwanted := settings.skip & set(source.case.features):
        return Outcome(source, "skipped", reason=f"SKIP={','.join(sorted(unwanted))}")
    missing = set(source.case.requires) - ABILITIES
    if refused := missing - settings.allow_missing:
        shown = ", ".join(sorted(refused))
        return Outcome(source, "failed", [Failure(0, "requires", Difference("ability", shown, "the runner lacks it"))])
    if missing:
        return Outcome(source, "skipped", reason=f"needs {', '.join(sorted(missing))}")
    return None


async def play_all(
    cases: list[CaseSource],
    settings: Settings,
    launch: Launch = EngineGateway.launch,
) -> list[Outcome]:
    """Play cases, at most `settings.parallel` at once; outcomes in the order of the cases."""
    places = asyncio.Semaphore(settings.parallel)

    async def one(source: CaseSource) -> Outcome:
        decided = verdict_before(source, settings)
        if decided is not None:
            return decided
        async with places:
            return await play(source, launch)

    return await asyncio.gather(*(one(source) for source in cases))


def describe(outcome: Outcome) -> str:
    """A failed case as text: file, case, and per failure the step, what was expected and what came."""
    lines = [f"FAILED {outcome.source.file}: {outcome.source.name}"]
    for failure in outcome.failures:
        place = f"step {failure.step} ({failure.doing})" if failure.step else failure.doing
        lines += [
            f"  {place}: {failure.difference.what}",
            f"    expected: {failure.difference.expected}",
            f"    got:      {failure.difference.got}",
        ]
    return "\n".join(lines)


def report_of(outcomes: Iterable[Outcome]) -> dict[str, object]:
    """All outcomes as the JSON document that REPORT writes."""
    listed = list(outcomes)
    totals = Counter(outcome.result for outcome in listed)
    return {
        "passed": totals["passed"],
        "failed": totals["failed"],
        "skipped": totals["skipped"],
        "cases": [
            {
                "file": outcome.source.file,
                "case": outcome.source.name,
                "features": list(outcome.source.case.features) if outcome.source.case else [],
                "result": outcome.result,
                "reason": outcome.reason,
                "seconds": round(outcome.seconds, 4),
                "failures": [
                    {
                        "step": failure.step,
                        "doing": failure.doing,
                        "what": failure.difference.what,
                        "expected": failure.difference.expected,
                        "got": failure.difference.got,
                    }
                    for failure in outcome.failures
                ],
            }
            for outcome in listed
        ],
    }


def main(environment: Mapping[str, str]) -> int:
    """Run as the command line does; returns the exit code."""
    try:
        settings = Settings.from_environment(environment)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    cases = select(load_tree(settings.cases), settings)
    if not cases:
        print(f"no case found in {settings.cases}", file=sys.stderr)
        return 2
    if importlib.util.find_spec("gateway_runtime._engine") is None:
        print("the engine is not built (make dev)", file=sys.stderr)
        return 2
    outcomes = asyncio.run(play_all(cases, settings))
    for outcome in outcomes:
        if outcome.result == "failed":
            print(describe(outcome))
        elif outcome.result == "skipped":
            print(f"SKIPPED {outcome.source.file}: {outcome.source.name}: {outcome.reason}")
    report = report_of(outcomes)
    if settings.report is not None:
        settings.report.parent.mkdir(parents=True, exist_ok=True)
        settings.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{report['passed']} passed, {report['failed']} failed, {report['skipped']} skipped")
    return 1 if report["failed"] else 0


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(",") if word.strip())


if __name__ == "__main__":
    sys.exit(main(os.environ))
