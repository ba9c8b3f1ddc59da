"""Whatever README.md and run.md show to be typed is typed here, in their order, and does what they say."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.chain.broker import free_port
from scripts.chain.waiting import wait_until
from tests.e2e.clerk import ROOT
from tests.e2e.documents import BUILDERS, SCRIPTS, Block, blocks, commands, resolve
from tests.e2e.runs import linux_only, processes_of
from tests.servers import postgres_url_of_a_server, real_broker, schema_of_its_own

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.cli, pytest.mark.business]

# It only ends a test that has failed.
PATIENCE_S = 60.0
RUN = ("README.md", "run.md")
READ = (*RUN, "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")))
EVERY = [block for document in READ for block in blocks(document)]
NOT_RUN = [block for block in EVERY if block.reason and block.document in RUN]
ANSWER = "an answer"
"""How the reason begins where a block is no command, but what comes of one that cannot be had."""

FOLDERS = ("docs/", "scripts/", "tests/", "invctl/", "central/", "daemon/")
STANDS_FOR = re.compile(r"\$\(date .*\)")
RESERVATION = re.compile(r"\bR-[0-9A-Z]{6}\b")
SHELL = r"""
set -m
while IFS= read -r -d '' line <&3; do
    eval "$line" <input >output 2>&1
    printf '%s\n' $? >&4
done
"""
TYPES = {"invctl scan": "MOUSE-001\n3*MOUSE-001\nsell\nquit\n"}
"""What is typed into a command that reads the keyboard."""


def ours(line: str) -> list[list[str]]:
    """The words of each of our commands in a line."""
    names = {*BUILDERS, *(f"scripts/{name}" for name in SCRIPTS)}
    return [words for words in commands(line) if words[0].removeprefix("/opt/invctl/bin/") in names]


def test_little_is_not_run_and_a_test_that_does_it_instead_exists() -> None:
    lines = sum(len(block.lines) for block in EVERY if block.document in RUN and block.is_run)
    assert lines > 2 * sum(len(block.lines) for block in NOT_RUN)
    for block in NOT_RUN:
        for path in re.findall(r"tests/\S+\.py", block.reason):
            assert (ROOT / path).is_file(), f"{block.where} says {path}"


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.where)
def test_what_is_not_run_can_be_read_by_the_shell_and_by_our_commands(block: Block) -> None:
    if block.reason.startswith(ANSWER):
        assert not any(ours(line) for line in block.lines)
        return
    subprocess.run(["sh", "-n"], input="\n".join(block.lines), text=True, check=True)
    for line in block.lines:
        for words in ours(line):
            resolve(words)
        for word in re.findall(r"[\w./*@-]+", line):
            if word.startswith(FOLDERS):
                assert list(ROOT.glob(word)), f"{block.where} names {word}"


@pytest.mark.parametrize("document", READ[len(RUN) :])
def test_our_commands_know_what_other_documents_give_them(document: str) -> None:
    for block in blocks(document):
        for line in block.lines:
            if re.match(r"(invctl|invd|invcentral|scripts/\w+) ", line) and not line.endswith("..."):
                for words in ours(line):
                    resolve([STANDS_FOR.sub("2026-11-24", word) for word in words])


class Machine:
    """A newcomer's machine: a home, a shell, and what other machines there are."""

    def __init__(self, home: Path, redis_url: str, database_url: str, running: ExitStack) -> None:
        self.home = home
        self.said: list[str] = []
        self._ids: dict[str, str] = {}
        self._reserved = ""
        self._elsewhere = {
            "redis://office.example:6379/0": redis_url,
            "redis://127.0.0.1:6379/0": redis_url,
            "postgresql://office:secret@db.example/central": database_url,
            ":9464": f":{(port := free_port())}",
            "= 9464": f"= {port}",
        }
        self._install(home / ".local/bin")
        (home / "input").touch()
        said, self._say = os.pipe()
        self._codes, code = os.pipe()
        environ = {
            "PATH": f"{home / '.local/bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_STATE_HOME": str(home),
            "TMPDIR": str(home),  # by which what it starts can be told
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "120",
        }
        shell = ["bash", "--norc", "--noprofile", "-c", f"exec 3<&{said} 4>&{code} {said}<&- {code}>&-\n{SHELL}"]
        self._shell = subprocess.Popen(shell, cwd=home, env=environ, pass_fds=(said, code), start_new_session=True)
        os.close(said)
        os.close(code)
        running.callback(self._end)

    def reads(self, document: str) -> None:
        """Do what a document says."""
        for block in blocks(document):
            if block.file:
                with (self.home / block.file).open("a", encoding="utf-8") as file:
                    file.writelines(f"{self._here(line)}\n" for line in block.lines)
            elif block.output:
                self._compare(block)
            elif block.is_run:
                for number, line in enumerate(block.lines):
                    if line:
                        self._type(f"{block.document}:{block.number + number}", line)

    def _type(self, where: str, line: str) -> None:
        first = next(commands(line), [])
        if first[:4] == ["invcentral", "stores", "admit", "downtown"]:
            # It can be admitted once it was heard.
            assert wait_until(lambda: self._both_are_refused(), timeout_s=PATIENCE_S, every_s=0.2)
        typed = next((keys for start, keys in TYPES.items() if " ".join(first) == start), "")
        (self.home / "input").write_text(typed, encoding="utf-8")
        wanted = int(code.group(1)) if (code := re.search(r"# exit code (\d+)", line)) else 0
        if _runs_on(first):
            self._follow(where, first, self._here(line))
            return
        code_was, said = self._shell_says(self._here(line))
        self.said.append(said)
        assert code_was == wanted, f"{where}: {line}\nends with {code_was}:\n{said}"
        assert "Traceback" not in said
        if first[:2] == ["invctl", "reserve"]:
            self._reserved = RESERVATION.findall(said)[0]

    def _follow(self, where: str, words: list[str], line: str) -> None:
        """Do what runs until Ctrl-C. Head office serves until the end, as in a window of its own."""
        line = line.partition(" #")[0]
        if words[:2] == ["invcentral", "run"]:
            log = f"log-{len(self.said)}"
            self._shell_says(f"{line} 2> {log} & pid=$!")
            ready = lambda: "bus.subscribed" in (self.home / log).read_text(encoding="utf-8")
            assert wait_until(ready, timeout_s=PATIENCE_S), f"{where}: {(self.home / log).read_text()}"
            return
        self._shell_says(f"{line} > followed 2>&1 & pid=$!")
        followed = self.home / "followed"
        _, pid = self._shell_says("echo $pid")
        assert wait_until(lambda: b"" != followed.read_bytes(), timeout_s=PATIENCE_S), f"{where}: says nothing"
        os.killpg(int(pid), signal.SIGINT)
        code, _ = self._shell_says("wait $pid")
        assert code in (0, 130), f"{where}: ends with {code}: {followed.read_text()}"

    def _compare(self, block: Block) -> None:
        """Hold what was said last against what the document shows: the same but for what is of another moment."""
        said = [_shape(line) for line in self.said[-1].splitlines()]
        for line in block.lines:
            assert _shape(line) in said, f"{block.where}: {line}\nis not in\n{self.said[-1]}"

    def _both_are_refused(self) -> bool:
        homes = ("downtown", "midtown")
        return all("not admitted" in self._shell_says(f"invctl --home ~/{home} status")[1] for home in homes)

    def _here(self, line: str) -> str:
        """Write a line as it is on this machine: the hosts that there are, and the ids that were given."""
        for name, url in self._elsewhere.items():
            line = line.replace(name, url)
        return RESERVATION.sub(lambda found: self._ids.setdefault(found[0], self._reserved), line)

    def _shell_says(self, line: str) -> tuple[int, str]:
        os.write(self._say, line.encode() + b"\0")
        ready, _, _ = select.select([self._codes], [], [], PATIENCE_S)
        said = (self.home / "output").read_text(encoding="utf-8")
        assert ready, f"{line} does not end:\n{said}"
        return int(os.read(self._codes, 64)), said

    def _install(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (self.home / "scripts").mkdir()
        modules = {"invctl": "invctl", "invd": "daemon", "invcentral": "central"}
        scripts = {f"../../scripts/{name}": f"scripts.{name}" for name in SCRIPTS}
        for name, module in {**modules, **scripts}.items():
            command = folder / name
            command.write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m {module} \"$@\"\n")
            command.chmod(0o755)

    def _end(self) -> None:
        os.close(self._say)
        os.close(self._codes)
        self._shell.wait(PATIENCE_S)
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            try:
                if f"TMPDIR={self.home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # ended meanwhile, or another user's
        assert wait_until(lambda: not processes_of(self.home), timeout_s=PATIENCE_S)


def _runs_on(words: list[str]) -> bool:
    if words[:2] == ["invcentral", "tail"]:
        return "--until-idle" not in words
    return words[:2] == ["invcentral", "run"] and "--admit-any" not in words or "--watch" in words or "-f" in words


def _shape(line: str) -> str:
    """Leave out what differs from run to run."""
    line = RESERVATION.sub("R", line)
    line = re.sub(r"\b[A-Z]{3,4}\b", "ZONE", line)
    return " ".join(re.sub(r"\b[0-9a-f]{8}\b|\d[\d.,:]*", "0", line).split())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as running:
        url = running.enter_context(real_broker()).url
        database = running.enter_context(schema_of_its_own(postgres_url_of_a_server()))
        yield Machine(tmp_path, url, database, running)


@linux_only
@pytest.mark.parametrize("document", RUN)
def test_what_the_document_shows_is_run(machine: Machine, document: str) -> None:
    machine.reads(document)
