"""README.md says only what is true: its programs run, its tables are the code's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

import agentmonitor_logging
from agentmonitor_logging._config import _ENVIRONMENT, Config
from servers import ScriptedServer

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "agentmonitor_logging"
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
MAX_WORDS = 900


def blocks(language: str) -> List[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def prose() -> str:
    """Return the page without its blocks and tables."""
    rest = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^\|.*\n", "", rest, flags=re.MULTILINE)


def options_told() -> Dict[str, str]:
    """Return the table of options: name and default."""
    section = README.partition("## Options")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))


def test_the_first_screen_is_a_name_a_sentence_and_two_commands() -> None:
    """Who reads no further has seen what it is and how to try it."""
    screen = README[: README.index("\n## ")]

    assert screen.startswith("# agentmonitor-logging\n")
    assert 2 == len(blocks("sh")) == screen.count("```sh")
    assert len(screen.splitlines()) < 25


def test_the_two_commands_name_what_there_is() -> None:
    """Their extras and the script are defined in pyproject.toml."""
    for extra in re.findall(r'\.\[(\w+)\]"', "".join(blocks("sh"))):
        assert re.search(rf"^{extra} = \[", PYPROJECT, re.MULTILINE)
    assert re.search(r"^agentmonitor = ", PYPROJECT, re.MULTILINE)


def test_the_programs_run_and_their_events_arrive(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """All python blocks, from top to bottom, are one test file that passes."""
    program = tmp_path / "test_readme_blocks.py"
    program.write_text("\n\n".join(blocks("python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", str(program)],
        cwd=str(tmp_path),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AGENTMONITOR_API_URL": server.url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stdout
    assert "1 passed" in done.stdout
    told = {(e["event_type"], e["metadata"]["message"]) for e in server.stored}
    assert ("llm_call", "greeted") in told
    assert ("log", "a plain line") in told
    assert {"function_call", "tool_call"} <= {event_type for event_type, _ in told}
    (line,) = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["event_type"] == "log"


def test_the_program_is_the_example() -> None:
    """The program on the first screens is examples/quickstart.py, letter by letter."""
    example = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")

    assert example == blocks("python")[0]


def test_the_tree_shown_is_the_tree_the_demo_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each line of it comes from the demo; only the milliseconds differ."""
    pytest.importorskip("uvicorn", reason="needs the extra: collector")
    pytest.importorskip("click", reason="needs the extra: collector")
    from agentmonitor_logging.demo import main

    def timeless(text: str) -> List[str]:
        return re.sub(r" +\d+ ms", " N ms", text).splitlines()

    assert 0 == main()
    printed = timeless(capsys.readouterr().out)
    shown = [line for line in timeless(blocks("text")[0]) if line != "  ..."]
    assert shown == [line for line in printed if line in shown]


def test_the_table_of_options_is_the_code() -> None:
    """Every option with its default, in the order of the code, and none besides."""
    told = options_told()

    assert list(Config._fields) == list(told)
    for option, said in told.items():
        if option in Config._field_defaults:
            assert Config._field_defaults[option] == eval(said.strip("`"), {})
        else:
            assert "required" == said


def test_the_environment_variables_are_the_code() -> None:
    """All of them are named, and none that does not exist."""
    told = set(re.findall(r"AGENTMONITOR_[A-Z_]+", prose()))

    assert set(_ENVIRONMENT.values()) == told


def test_every_file_named_exists() -> None:
    """Paths are from the root; bare module names are in the package."""
    figure = blocks("text")[1]
    named = re.findall(r"`([\w./]+\.(?:py|md)|LICENSE)`", README)
    modules = re.findall(r"\b\w+\.py\b", figure)

    assert len(named) > 5
    assert [] == [name for name in named if not (ROOT / name).is_file()]
    assert len(modules) > 5
    assert [] == [name for name in modules if not (PACKAGE / name).is_file()]


@pytest.mark.parametrize("name", agentmonitor_logging.__all__)
def test_every_public_name_is_mentioned(name: str) -> None:
    """What can be imported can be found on the page."""
    assert re.search(rf"(?<![\w.]){name}\b", README)


def test_the_page_is_short() -> None:
    """At most 900 words besides programs and tables."""
    assert len(prose().split()) <= MAX_WORDS


def test_the_changelog_knows_this_version() -> None:
    """Its newest entry is the version of pyproject.toml."""
    (version,) = re.findall(r'^version = "(.*)"', PYPROJECT, re.MULTILINE)
    newest = re.findall(r"^## (\S+)", CHANGELOG, re.MULTILINE)[0]

    assert version == newest
