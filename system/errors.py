"""Every exception the project raises on purpose, as one tree.

    SupportError                 anything a caller may want to catch
    └── InputError               the caller's input is at fault; the command line exits with 2
        ├── RowsError            rows of a data file are bad; lists all of them with file and line
        ├── TextError            a complaint's text cannot be answered (empty, too long, not text)
        ├── KnowledgeBaseError   the knowledge base is missing, empty or unreadable
        ├── ModelError           a base model, adapter or embedder cannot be found or loaded
        ├── TemplateError        a prompt template is malformed
        └── SettingsError        a settings file, variant or option is wrong

A message names the subject, the offending value and the remedy, in one line.
"""

from __future__ import annotations

from collections.abc import Iterable


class SupportError(Exception):
    """Base of all errors raised on purpose."""


class InputError(SupportError):
    """The caller's input is at fault. The command line prints the message and exits with 2."""


class RowsError(InputError):
    """One or more rows of a data file are bad.

    ``problems`` holds one "file:line: what is wrong" per problem; the message shows them all.
    """

    def __init__(self, problems: Iterable[str]):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class TextError(InputError):
    """A complaint's text cannot be answered as it is."""


class KnowledgeBaseError(InputError):
    """The knowledge base is missing, empty or holds a file that cannot be read."""


class ModelError(InputError):
    """A base model, an adapter or an embedder cannot be found or loaded."""


class TemplateError(InputError):
    """A prompt template has unknown keys or variables, or lacks required ones."""


class SettingsError(InputError):
    """A settings file, a variant name or an option is wrong."""
