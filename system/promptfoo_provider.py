"""Promptfoo's door to the assistant: its Python provider and its test cases.

    providers:
      - id: file://system/promptfoo_provider.py
        label: rag
        config: {variant: rag, replay: runs/quality.jsonl}      without replay the model answers, in one warm process
    tests: file://system/promptfoo_provider.py:cases

A prompt's label names the template, the provider's config the variant. Each answer comes with the verdict of every
requirement of tests_quality/gates.toml that binds its variant, by the project's own rulers; the configuration only
shows them. Settings from the environment: PROMPTFOO_REPLAY, a run log for providers that name none;
PROMPTFOO_CASES, how many of the test complaints (default: all); SUPPORT_JUDGE, a judge instead of the local one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from system.complaints import check_text, read_complaints
from system.desk import Reply, Request, ask_desk
from system.errors import InputError, SettingsError
from system.evaluation.budgets import Budget
from system.evaluation.gatefile import Gates, load_gates
from system.evaluation.judge import AXES, LOCAL, OPENAI_PREFIX, read_rubric
from system.evaluation.judging import CaseVerdict, judge_answer
from system.evaluation.requirements import Requirement
from system.records import Complaint, Response
from system.variants import VARIANTS, Variant, find_variants, with_template

ROOT = Path(__file__).resolve().parents[1]
COMPLAINTS = ROOT / "data" / "complaints.jsonl"
GATES = ROOT / "tests_quality" / "gates.toml"
DESK = ROOT / "runs" / "promptfoo"
# Requirements with an assertion of their own in promptfooconfig.yaml.
TIME = "answer-time"  # a budget, asserted where the answer was not read from the cache
SHOWN = (*AXES, "groundedness", "fact-coverage", "rude", "asks-for-secret", "hard-rules")
TEMPLATE_NAMES = frozenset(path.stem for path in (ROOT / "system" / "templates").glob("*.toml"))


def cases(config: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The test complaints as Promptfoo's cases: all of them, or every n-th, so that PROMPTFOO_CASES are left."""
    complaints = chosen(read_complaints(COMPLAINTS, "test"), asked_cases())
    return [
        {
            "description": f"{complaint.id} {complaint.category}",
            "vars": {"complaint": complaint.text, "id": complaint.id},
            "assert": _rubric_assertions(),
        }
        for complaint in complaints
    ]


def asked_cases() -> int | None:
    """PROMPTFOO_CASES; None where it is not set. Raises SettingsError for anything but a number from 1 on."""
    text = os.environ.get("PROMPTFOO_CASES", "")
    if text and not (text.isdecimal() and int(text)):
        raise SettingsError(f"PROMPTFOO_CASES is {text!r}; give a number from 1 on")
    return int(text) if text else None


def chosen(complaints: Sequence[Complaint], count: int | None) -> list[Complaint]:
    """Every n-th complaint, so that ``count`` are left; all of them if it is None or more than there are."""
    count = min(count or len(complaints), len(complaints))
    return [complaints[n * len(complaints) // count] for n in range(count)]


def _rubric_assertions() -> list[dict[str, Any]]:
    """Promptfoo's own llm-rubric on every axis, by the server that SUPPORT_JUDGE names; none where it names none."""
    judge = os.environ.get("SUPPORT_JUDGE", "")
    if not judge.startswith(OPENAI_PREFIX):
        return []
    model, _, address = judge.removeprefix(OPENAI_PREFIX).rpartition("@")
    provider = {"id": f"openai:chat:{model}", "config": {"apiBaseUrl": address, "temperature": 0}}
    return [
        {
            "type": "llm-rubric",
            "metric": f"{axis} (llm-rubric)",
            "weight": 0,  # shown beside the judge's grade of the same axis, which counts
            "value": "\n".join([words["question"], *(f"{grade}: {words[grade]}" for grade in "12345")]),
            "provider": provider,
        }
        for axis, words in read_rubric().items()
    ]


def call_api(prompt: str, options: dict[str, Any], context: dict[str, Any]) -> Reply:
    """One answer with its verdicts; see Promptfoo's Python provider."""
    config, asked = options.get("config") or {}, context.get("vars") or {}
    replay = config.get("replay") or os.environ.get("PROMPTFOO_REPLAY") or ""
    request = {
        "variant": str(config.get("variant") or ""),
        "template": str((context.get("prompt") or {}).get("label") or ""),
        "text": str(asked.get("complaint") or prompt),
        "id": str(asked.get("id") or ""),
        "replay": str(ROOT / replay) if replay else "",
        "judge": os.environ.get("SUPPORT_JUDGE") or LOCAL,
    }
    os.chdir(ROOT)  # where settings, cache and adapters are looked for
    return ask_desk(DESK, Clerk, request)


def variant_of(request: Request) -> Variant:
    """The variant that a request names, with the template that its prompt is named after. Raises SettingsError."""
    (variant,) = find_variants(request["variant"])
    return with_template(variant, request["template"]) if request["template"] in TEMPLATE_NAMES else variant


def answer_time(response: Response, budgets: Sequence[Budget]) -> dict[str, dict[str, Any]]:
    """The grading result of a budget on the whole answer: all stages' seconds over the model's, which it needs anyhow.

    Nothing where no model was asked or the answer came from the cache.
    """
    model = response.seconds.get("generation", 0.0)
    found = [budget for budget in budgets if budget.stage == "answer"]
    if not found or not model:
        return {}
    ratio, limit = sum(response.seconds.values()) / model, found[0].ratio
    case = {"metric": "overhead", "cluster": "", "value": ratio, "binds": True}
    reason = f"{found[0].name} {ratio:.2f} of the model's own, at most {limit:g}"
    met = ratio <= limit
    return {found[0].name: {"pass": met, "score": float(met), "reason": reason, "case": case}}


def others(gates: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One grading result of all requirements that bind the variant and have no assertion of their own."""
    rest = {n: gate for n, gate in gates.items() if n not in (*SHOWN, TIME) and gate["case"]["binds"]}
    missed = [gate["reason"] for gate in rest.values() if not gate["pass"]]
    return {
        "pass": not missed,
        "score": sum(gate["score"] for gate in rest.values()) / len(rest) if rest else 1.0,
        "reason": "; ".join(missed) or f"{len(rest)} further requirements met",
    }


def _grading(verdict: CaseVerdict) -> dict[str, Any]:
    """A verdict as Promptfoo's grading result; ``case`` is what our own report reads."""
    case = {name: getattr(verdict, name) for name in ("metric", "cluster", "value", "binds")}
    return {"pass": verdict.met, "score": verdict.share, "reason": verdict.reason, "case": case}


class Clerk:
    """Answers, or looks answers up, and judges them; everything is loaded once."""

    def __init__(self) -> None:
        self._logs: dict[str, dict[tuple[str, str], Response]] = {}
        self._rulers: dict[str, Any] = {}

    def answer_all(self, requests: Sequence[Request]) -> list[Reply]:
        """See ``system.desk``."""
        responses = self._answered(requests)
        return [
            {"error": response} if isinstance(response, str) else self._reply(response, request)
            for response, request in zip(responses, requests, strict=True)
        ]

    def _answered(self, requests: Sequence[Request]) -> list[Response | str]:
        """The response to each request, or why there is none; what the model must answer is asked together."""
        found: list[Response | str] = ["was not answered"] * len(requests)
        drafts = []
        for n, request in enumerate(requests):
            try:
                if request["replay"]:
                    found[n] = self._replayed(request)
                else:
                    complaint = Complaint(id=str(n), text=check_text(request["text"]))
                    drafts += self.assistant.drafts([complaint], variant_of(request))
            except InputError as error:
                found[n] = str(error)
        for response in self.assistant.answer(drafts) if drafts else ():
            n = int(response.id)
            found[n] = replace(response, id=requests[n]["id"] or f"case {n}")
        return found

    def _replayed(self, request: Request) -> Response | str:
        from system.runlog import read_run

        path = request["replay"]
        if path not in self._logs:
            self._logs[path] = {(response.variant, response.id): response for response in read_run(Path(path))}
        name = variant_of(request).name
        found = self._logs[path].get((name, request["id"]))
        return found or f"{Path(path).name} holds no answer of {name} to {request['id'] or 'a case without id'}"

    def _reply(self, response: Response, request: Request) -> Reply:
        """Promptfoo's form of a response."""
        gates = {**self._gates(response, request), **answer_time(response, self._file.budgets)}
        return {
            "output": response.text,
            "error": response.error or "",
            "cached": response.cached,
            "latencyMs": round(1000 * sum(response.seconds.values())),
            "tokenUsage": {
                "prompt": response.tokens["prompt"],
                "completion": response.tokens["completion"],
                "total": sum(response.tokens.values()),
            },
            "metadata": {
                "variant": response.variant,
                "decision": f"{response.decision.action}: {response.decision.reason}",
                "passages": list(response.prompt.passages) if response.prompt else [],
                "gates": gates,
                "others": others(gates),
            },
        }

    def _gates(self, response: Response, request: Request) -> dict[str, dict[str, Any]]:
        """Promptfoo's grading result of each requirement, by name."""
        known = self._labelled.get(request["id"])
        labelled = known if known is not None and known.text == response.complaint else None
        complaint = labelled or Complaint(id=response.id, text=response.complaint)
        variant = response.variant if response.variant in VARIANTS else request["variant"]
        verdicts = judge_answer(response, complaint, self._requirements, variant, self._ruler(request["judge"]))
        return {verdict.requirement: _grading(verdict) for verdict in verdicts}

    @cached_property
    def assistant(self) -> Any:
        """The assistant over the project's knowledge base."""
        from system.assistant import Assistant
        from system.cache import open_cache

        return Assistant(knowledge_base=ROOT / "knowledge_base", cache=open_cache())

    @cached_property
    def _labelled(self) -> dict[str, Complaint]:
        return {complaint.id: complaint for complaint in read_complaints(COMPLAINTS)}

    @cached_property
    def _file(self) -> Gates:
        return load_gates(GATES)

    @cached_property
    def _requirements(self) -> Sequence[Requirement]:
        return self._file.requirements

    def _ruler(self, judge: str) -> Any:
        from system.articles import official_text
        from system.cache import open_cache
        from system.evaluation.measuring import Rulers

        if judge not in self._rulers:
            self._rulers[judge] = Rulers(official_text(ROOT / "knowledge_base"), open_cache(), judge)
        return self._rulers[judge]
