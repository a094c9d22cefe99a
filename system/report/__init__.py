"""The report: figures read from logs, prose that holds none of its own, and one document in three forms.

    logs -> facts.Facts -> pages.build(...) -> document.Document -> Markdown, HTML, Typst

A number in the prose that no log holds, or a finding that the verdicts do not bear out, ends the build.
"""
