"""Loads the fixture modules that both suites share."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.runs",
    "fixtures.browser",
    "fixtures.attack_runs",
    "fixtures.mutant_options",
    "fixtures.folders",
    "fixtures.command_line",
    "fixtures.servers",
    "fixtures.verdicts",
    "fixtures.promptfoo",
    "fixtures.latency",
]
