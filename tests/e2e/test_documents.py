"""Whatever README.md and run.md show to be typed is typed here, in their order, and does what they say."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from invctl.console.exits import ExitCode
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
ON_POSTGRES = ("PostgreSQL", "Several centrals")
"""What is under these headings needs a server."""
ANSWER_S = 20.0
RUN = ("README.md", "run.md")
READ = (*RUN, "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")))
EVERY = [block for document in READ for block in blocks(document)]
NOT_RUN = [block for block in EVERY if block.reason and block.document in RUN]
ANSWER = "an answer"
"""How the reason begins where a block is no command, but what comes of one that cannot be had."""

FOLDERS = ("docs/", "scripts/", "tests/", "invctl/", "central/", "daemon/")
STANDS_FOR = re.compile(r"\$\(date .*\)|\$[A-Z]+")
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
                    resolve([STANDS_FOR.sub(stand_in, word) for word in words])


def stand_in(found: re.Match[str]) -> str:
    """What a shell might put in the place of a date, or of a variable that holds a trace."""
    return "2026-11-24" if "date" in found[0] else "0af7651916cd43dd8448eb211c80319c"


class Machine:
    """A newcomer's machine: a home, a shell, and what other machines there are."""

    def __init__(self, home: Path, redis_url: str, database_url: str | None, running: ExitStack) -> None:
        self.home = home
        self._last = self._said = ""
        self._windows = 0
        self._ids: dict[str, str] = {}
        self._reserved = ""
        self._has_postgres = database_url is not None
        self._elsewhere = {
            "redis://office.example:6379/0": redis_url,
            "redis://127.0.0.1:6379/0": redis_url,
            "postgresql://office:secret@db.example/central": database_url or "",
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
            "TERM": "xterm",
        }
        shell = ["bash", "--norc", "--noprofile", "-c", f"exec 3<&{said} 4>&{code} {said}<&- {code}>&-\n{SHELL}"]
        self._shell = subprocess.Popen(shell, cwd=home, env=environ, pass_fds=(said, code), start_new_session=True)
        os.close(said)
        os.close(code)
        running.callback(self._end)

    def reads(self, document: str) -> None:
        """Do what a document says."""
        for block in blocks(document):
            if block.section in ON_POSTGRES and not self._has_postgres:
                continue
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
            assert wait_until(self._both_are_refused, timeout_s=PATIENCE_S, every_s=0.2)
        typed = next((keys for start, keys in TYPES.items() if " ".join(first) == start), "")
        (self.home / "input").write_text(typed, encoding="utf-8")
        wanted = int(code.group(1)) if (code := re.search(r"# exit code (\d+)", line)) else 0
        here = self._here(line)
        if here.startswith("invcentral run ") and not here.endswith("&"):
            self._serve(where, here)
            return
        if _runs_on(first):
            wanted, here = ExitCode.INTERRUPTED, f"ctrl-c {here}"
        code_was, said = self._shell_says(here)
        self._last, self._said = here, said
        assert code_was == wanted, f"{where}: {line}\nends with {code_was}:\n{said}"
        assert "Traceback" not in said
        if first[:2] == ["invctl", "reserve"]:
            self._reserved = RESERVATION.findall(said)[0]

    def _serve(self, where: str, line: str) -> None:
        """Start head office, which serves until the end, as in a window of its own."""
        self._windows += 1
        log = self.home / f"window-{self._windows}"
        log.touch()
        self._shell_says(f"{line.partition(' #')[0]} 2> {log} & disown")
        ready = wait_until(lambda: "subscribed" in log.read_text(encoding="utf-8"), timeout_s=PATIENCE_S)
        assert ready, f"{where}: {log.read_text(encoding='utf-8')}"

    def _compare(self, block: Block) -> None:
        """Hold what was said last against what the document shows: the same but for what is of another moment.

        What comes after a moment only, such as a share of the shards, is asked for again.
        """
        wanted = [_shape(line) for line in block.lines if line]

        def is_said() -> bool:
            if set(wanted) <= {_shape(line) for line in self._said.splitlines()}:
                return True
            _, self._said = self._shell_says(self._last)
            return False

        assert wait_until(is_said, timeout_s=ANSWER_S, every_s=0.5), f"{block.where} says otherwise:\n{self._said}"

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
        modules = {"ctrl-c": "tests.e2e.ctrl_c", "invctl": "invctl", "invd": "daemon", "invcentral": "central"}
        scripts = {f"../../scripts/{name}": f"scripts.{name}" for name in SCRIPTS}
        for name, module in {**modules, **scripts}.items():
            command = folder / name
            command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m {module} "$@"\n')
            command.chmod(0o755)

    def _end(self) -> None:
        os.close(self._say)
        os.close(self._codes)
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            try:
                if f"TMPDIR={self.home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # ended meanwhile, or another user's
        self._shell.wait()
        assert wait_until(lambda: not processes_of(self.home), timeout_s=PATIENCE_S)


def _runs_on(words: list[str]) -> bool:
    if words[:2] == ["invcentral", "tail"]:
        return "--until-idle" not in words
    return "--watch" in words or "-f" in words


def _shape(line: str) -> str:
    """Leave out what differs from run to run."""
    line = RESERVATION.sub("R", line)
    line = re.sub(r"\S+:\d+:[0-9a-f]{8}\b", "CENTRAL", line)
    line = re.sub(r"\b[A-Z]{3,4}\b", "ZONE", line)
    return " ".join(re.sub(r"\b[0-9a-f]{8}\b|\d[\d.,:]*", "0", line).split())


@contextmanager
def machine(home: Path, database_url: str | None = None) -> Iterator[Machine]:
    with ExitStack() as running:
        url = running.enter_context(real_broker()).url
        yield Machine(home, url, database_url, running)


@linux_only
def test_what_the_readme_shows_is_run(tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        here.reads("README.md")


@linux_only
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_run_md_shows_is_run(tmp_path: Path) -> None:
    lacks = ""
    with ExitStack() as running:
        url = None
        try:
            url = running.enter_context(schema_of_its_own(postgres_url_of_a_server()))
        except pytest.skip.Exception as reason:
            lacks = str(reason)
        with machine(tmp_path, url) as here:
            here.reads("run.md")
    if lacks:
        pytest.skip(f"what is under {' and '.join(ON_POSTGRES)} {lacks}; the rest was run")
