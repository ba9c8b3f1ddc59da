"""Completes .venv. Run by `_env.sh` on any Python 3.11, so it uses the standard library alone.

    python -I _setup.py ROOT KEY EXTRA...

KEY is what `_env.sh` looks for in the stamps. Talks on stderr, and exits 1 with one line that says why it failed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# What an extra brings with it.
_INCLUDED = {"dev": ("demo", "postgres", "replay", "labels", "bench", "otel")}
# Where pip would put things elsewhere, and what would show it packages that are not in .venv.
_MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PYTHONHOME")
_LAST_LINES = 15
_USABLE = "import sys, pip; sys.exit(sys.version_info < (3, 11))"


class SetupError(Exception):
    """The set-up cannot go on."""


class Venv:
    """The project's .venv, and the notes in it that tell how far its set-up came."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ".venv"
        self.python = self.path / "bin" / "python"
        self._home = self.path / ".home"
        # There while something is being installed. Found at the start, it tells of a set-up that was killed: what pip
        # has half written it takes for installed, so only a new beginning is sure.
        self._unfinished = self.path / ".unfinished"

    def is_complete(self, key: str, extras: list[str]) -> bool:
        """Tell whether all of it was installed from this pyproject.toml, in this folder."""
        return self.python.exists() and all(_read(self._stamp(extra)) == key for extra in ("base", *extras))

    def complete(self, key: str, extras: list[str], lock: int) -> None:
        """Make what is missing. Its children hold the lock too: it lasts until the last of them has ended."""
        if reason := self._unusable():
            if reason != "new":
                _say(f"building .venv anew: {reason}")
            self._remove()
            self._make(lock)
        self._unfinished.touch()
        self._install(extras, lock)
        included = [name for extra in extras for name in _INCLUDED.get(extra, ())]
        for done in ("base", *extras, *included):
            self._stamp(done).write_text(f"{key}\n", encoding="utf-8")
        self._unfinished.unlink()

    def _stamp(self, extra: str) -> Path:
        return self.path / f".complete-{extra}"

    def _unusable(self) -> str:
        """Tell why it cannot be built on; empty where it can, also where somebody made it by hand."""
        if not self.path.exists() and not self.path.is_symlink():
            return "new"
        if self._unfinished.exists():
            return "its set-up was interrupted"
        if _read(self._home) not in {"", str(self.root)}:
            return "the project has moved"
        try:
            works = subprocess.run([self.python, "-I", "-c", _USABLE], capture_output=True, check=False).returncode == 0
        except OSError:
            works = False
        return "" if works else "its Python does not work, is too old or has no pip"

    def _remove(self) -> None:
        if self.path.is_symlink() or self.path.is_file():
            self.path.unlink()
        elif self.path.exists():
            shutil.rmtree(self.path)

    def _make(self, lock: int) -> None:
        self.path.mkdir()
        self._unfinished.touch()
        code, last_lines = _run([sys.executable, "-I", "-m", "venv", str(self.path)], self.root, lock)
        if code != 0:
            raise SetupError(f"could not make .venv{last_lines}")
        self._home.write_text(f"{self.root}\n", encoding="utf-8")

    def _install(self, extras: list[str], lock: int) -> None:
        project = f".[{','.join(extras)}]" if extras else "."
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--editable"]
        code, last_lines = _run([str(self.python), "-I", "-m", "pip", "install", *options, project], self.root, lock)
        if code != 0:
            if code > 0:  # it was not killed, so it has taken back what it could not finish
                self._unfinished.unlink()
            raise SetupError(
                f"could not install what is needed (is there a network?), the next call tries again{last_lines}"
            )


def _run(command: list[str], root: Path, lock: int) -> tuple[int, str]:
    """Run a command in the project's folder. Gives its exit code and the last lines that it printed."""
    environ = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    with tempfile.TemporaryFile() as output:
        run = subprocess.run(
            command,
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            check=False,
        )
        output.seek(0)
        last = output.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
    return run.returncode, "".join(f"\n    {line}" for line in last)


def _locked(root: Path) -> int:
    """Wait until no other set-up of this folder goes on. The lock ends with the process, however that ends."""
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("waiting for another set-up of .venv ...")
        fcntl.flock(folder, fcntl.LOCK_EX)
    return folder


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(root: Path, key: str, extras: list[str]) -> int:
    """Complete .venv, unless another set-up has done so meanwhile. Gives the exit code."""
    venv = Venv(root)
    try:
        lock = _locked(root)
        if not venv.is_complete(key, extras):
            missing = [extra for extra in extras if not venv.is_complete(key, [extra])]
            begun = venv.is_complete(key, [])
            what = f"adding to .venv for this command: {', '.join(missing)}" if begun else "setting up .venv"
            _say(f"{what} (once, about a minute) ...")
            venv.complete(key, extras, lock)
    except SetupError as error:
        _say(f"set-up: {error}")
        return 1
    except OSError as error:
        _say(f"set-up: cannot write {venv.path}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        _say("set-up: interrupted, the next call starts it anew")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
