"""From a complaint and its hits to the exact prompt.

A template is a TOML file with two forms, without and with retrieved context. Complaint and context are data: the
model's control tokens in them are broken up before they are put in, so that neither can open or close a turn.
Knows templates and token counts; must not know retrieval scores, decisions or models beyond the Format seam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import jinja2.meta

from system.chat_format import Format
from system.errors import TemplateError
from system.records import Hit, Prompt
from system.settings import read_toml, require_keys

TEMPLATES = Path(__file__).parent / "templates"
CONTEXT_TOKENS = 240  # one or two passages: an untuned small model answers the wrong one when several lie side by side
_PARTS = {  # the variables that each part must use, no more and no less
    "system": frozenset[str](),
    "system_with_context": frozenset[str](),
    "user": frozenset({"complaint"}),
    "user_with_context": frozenset({"complaint", "context"}),
}
_environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701  # prompts are not HTML


@dataclass(frozen=True, slots=True)
class Template:
    """A named prompt template; the parts are Jinja texts whose variables were checked on loading."""

    name: str
    description: str
    system: str
    system_with_context: str
    user: str
    user_with_context: str


def load_template(name: str, folder: Path = TEMPLATES) -> Template:
    """Read ``folder/name.toml``. Raises TemplateError that lists every unknown, missing or malformed part at once."""
    path = folder / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise TemplateError(f"template {name!r} does not exist; choose one of {known}")
    raw = read_toml(path, TemplateError)
    problems = require_keys(raw, ("description", *_PARTS))
    for part, wanted in _PARTS.items():
        if not isinstance(raw.get(part), str):
            continue
        try:
            used = jinja2.meta.find_undeclared_variables(_environment.parse(raw[part]))
        except jinja2.TemplateSyntaxError as error:
            problems.append(f"{part}: {error.message} in its line {error.lineno}")
            continue
        problems += [f"{part}: unknown variable {v!r}" for v in sorted(used - wanted)]
        problems += [f"{part}: variable {v!r} is missing" for v in sorted(wanted - used)]
        if used == wanted:
            try:  # an attribute that no text has, or a file to include, shows only in use
                _environment.from_string(raw[part]).render(dict.fromkeys(wanted, "text"))
            except (jinja2.TemplateError, TypeError) as error:
                problems.append(f"{part}: {error}")
    if problems:
        raise TemplateError(f"{path}: " + "; ".join(problems))
    return Template(name, **{key: raw[key].strip() for key in ("description", *_PARTS)})


def render(
    template: Template, complaint: str, hits: Sequence[Hit], generator: Format, room: int | None = None
) -> Prompt:
    """The prompt for one complaint; with hits, the form with context.

    Passages are taken best first, whole, while they fit ``room`` (CONTEXT_TOKENS if it is None) of the generator's
    tokens; one that does not fit is passed over. If not even the best fits, its beginning is used, cut at a line.
    """
    kept, context = _fit(hits, generator, CONTEXT_TOKENS if room is None else room)
    suffix = "_with_context" if context else ""
    values = {"complaint": generator.neutralise(complaint)} | ({"context": context} if context else {})
    system = _environment.from_string(getattr(template, "system" + suffix)).render()
    user = _environment.from_string(getattr(template, "user" + suffix)).render(values)
    text = generator.chat(system, user)
    return Prompt(
        template=template.name,
        system=system,
        user=user,
        text=text,
        tokens=generator.count_tokens(text),
        passages=tuple(hit.passage for hit in kept),
    )


def _fit(hits: Sequence[Hit], generator: Format, room: int) -> tuple[list[Hit], str]:
    """The hits whose passages fit the token budget, and their text."""
    kept: list[Hit] = []
    texts: list[str] = []
    left = room
    for hit in hits:
        text = generator.neutralise(f"{hit.heading}\n{hit.text}")
        size = generator.count_tokens(text)
        if size <= left:
            kept.append(hit)
            texts.append(text)
            left -= size
    if hits and not kept:
        lines = generator.neutralise(f"{hits[0].heading}\n{hits[0].text}").splitlines()
        while len(lines) > 1 and generator.count_tokens("\n".join(lines)) > room:
            lines.pop()
        return [hits[0]], "\n".join(lines)
    return kept, "\n\n".join(texts)
