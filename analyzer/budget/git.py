"""What git knows of the project: commits, files at them, the history of one file. git is called without a shell."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analyzer.budget.untrusted_files import MOST_BYTES, decoded, too_large
from analyzer.errors import BaselineError, UsageError
from analyzer.files import temporary_folder
from analyzer.git_calls import SECONDS, git
from analyzer.processes import undisturbed

# https://host/owner/name(.git), git@host:owner/name.git, ssh://git@host/owner/name: without a password or a port.
_REMOTE = re.compile(r"(?:https?://|ssh://)?(?:[\w.-]+@)?(?P<host>[\w.-]+\.[a-z]+)[:/](?P<path>[\w.-]+(?:/[\w.-]+)+)/?")


@dataclass(frozen=True)
class Commit:
    """One commit of a file's history."""

    sha: str
    time: int
    author: str
    subject: str


def _top_of(folder: Path) -> Path:
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


class Repository:
    """The repository around a folder. Raises UsageError where there is no git, or no repository."""

    def __init__(self, folder: Path, *, where: str = "--against") -> None:
        self.where = where
        self.folder = folder.resolve()
        if shutil.which("git") is None:
            raise UsageError("git is not installed", where=where, fix="install it, or compare with the lock file alone")
        top = self._text("rev-parse", "--show-toplevel", failed="is in no git repository")
        self.folder = self.top = Path(top).resolve()

    def head(self) -> str:
        """The commit that is checked out."""
        return self._text("rev-parse", "--verify", "--quiet", "HEAD^{commit}", failed="has no commit yet")

    def commit_of(self, ref: str) -> str:
        """The commit that a ref names. Raises UsageError where there is none, or it is no ref."""
        if not ref or ref.startswith("-") or any(c.isspace() or not c.isprintable() for c in ref):
            raise UsageError(f"{ref[:80]!r} is no ref", where=self.where, fix="name a branch, a tag or a commit")
        done = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}")
        hashes = done.stdout.decode().split()
        if done.returncode or not hashes:
            hint = "; CI clones one branch: fetch the other with `git fetch origin BRANCH`"
            raise UsageError(f"there is no commit {ref[:80]!r}", where=self.where, fix="check its name" + hint)
        return hashes[-1]

    def merge_base(self, ref: str) -> str:
        """The commit from which HEAD and a ref went apart. Raises BaselineError where the clone is too shallow."""
        done = self._run("merge-base", self.head(), self.commit_of(ref))
        if done.returncode == 0:
            return done.stdout.decode().split()[0]
        if self._text("rev-parse", "--is-shallow-repository") == "true":
            raise BaselineError(
                f"the clone is too shallow to know where HEAD and {ref} went apart",
                where=self.where,
                fix="fetch the whole history: fetch-depth: 0 in GitHub's checkout, GIT_DEPTH: 0 in GitLab, "
                "or `git fetch --unshallow`",
            )
        raise BaselineError(f"HEAD and {ref} have no history in common", where=self.where, fix="name another ref")

    def file_at(self, commit: str, path: Path, *, most: int = MOST_BYTES) -> str | None:
        """The text of a file of the project at a commit; None where it isn't there. Raises UsageError on a link."""
        name = self.relative(path)
        listed = self._run("ls-tree", "-z", "-l", "--full-tree", commit, "--", name).stdout.decode()
        if not listed:
            return None
        mode, kind, sha, size = listed.split("\t", 1)[0].split()
        where = f"{name} at {commit[:10]}"
        if kind != "blob" or mode == "120000":
            raise UsageError("is no plain file", where=where, fix="commit the file itself, not a link")
        if int(size) > most:
            raise too_large(int(size), most, where)
        return decoded(self._bytes("cat-file", "blob", sha), where)

    def user(self) -> str:
        """Who commits here; empty where git is not told."""
        return self._run("config", "user.name").stdout.decode("utf-8", "replace").strip()

    def has_file(self, commit: str, path: Path) -> bool:
        """Whether a path is there at a commit."""
        return bool(self._run("ls-tree", "-z", "--full-tree", commit, "--", self.relative(path)).stdout)

    def files_named(self, commit: str, name: str) -> list[Path]:
        """Where files of a name are at a commit, as they would lie in the working tree."""
        listed = self._bytes("ls-tree", "-r", "-z", "--full-tree", "--name-only", commit)
        paths = (self.top / path for path in listed.decode("utf-8", "surrogateescape").split("\0") if path)
        return [path for path in paths if path.name == name]

    def relative(self, path: Path) -> str:
        """A path from the repository's top, with slashes; the file itself is not followed where it is a link."""
        place = path.parent.resolve() / path.name
        if not place.is_relative_to(self.top):
            what = f"lies outside of the work tree that git says, {self.top}"
            raise UsageError(what, where=str(place), fix="see `git config core.worktree`")
        return place.relative_to(self.top).as_posix()

    def history(self, path: Path, most: int) -> list[Commit]:
        """The last commits on this branch's first parents that changed a file, the oldest first."""
        arguments = (
            "log",
            "--first-parent",
            f"--max-count={most}",
            "-z",
            "--format=%H%x1f%ct%x1f%an%x1f%s",
            "HEAD",
            "--",
        )
        text = self._bytes(*arguments, self.relative(path)).decode("utf-8", "replace")
        commits = []
        for entry in filter(None, text.split("\0")):
            sha, time, author, subject = entry.strip("\n").split("\x1f", 3)
            commits.append(Commit(sha, int(time), author, subject))
        return commits[::-1]

    def web(self) -> str:
        """The address of the repository's page, from its remote `origin`; empty where that has none."""
        done = self._run("config", "--get", "remote.origin.url")
        address = done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
        found = _REMOTE.fullmatch(address.removesuffix("/").removesuffix(".git"))
        return f"https://{found['host']}/{found['path']}" if found else ""

    def is_shallow(self) -> bool:
        """Whether older commits are missing here."""
        return self._text("rev-parse", "--is-shallow-repository") == "true"

    @contextlib.contextmanager
    def worktree(self, commit: str) -> Iterator[Path]:
        """The files of a commit in a folder of their own, for as long as it is open."""
        made = temporary_folder("tree")
        folder = Path(made.name).resolve() / "tree"
        try:
            self._text("worktree", "add", "--quiet", "--detach", str(folder), commit)
            yield folder
        finally:
            with undisturbed():  # twice forced: also where the interrupt came while it was being made, which locks it
                self._run("worktree", "remove", "--force", "--force", str(folder))
                made.cleanup()
                self._run("worktree", "prune")  # and what killed processes left

    def _text(self, *arguments: str, failed: str = "") -> str:
        return self._bytes(*arguments, failed=failed).decode("utf-8", "replace").strip()

    def _bytes(self, *arguments: str, failed: str = "") -> bytes:
        done = self._run(*arguments)
        if b"dubious ownership" in done.stderr:
            what = f"git refuses {self.folder}, which is another user's, as in a container"
            fix = f"git config --global --add safe.directory {shlex.quote(str(_top_of(self.folder)))}"
            raise UsageError(what, where=self.where, fix=fix)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            told = said[0].removeprefix("fatal: ") if said else f"git {arguments[0]} failed"
            what = f"{self.folder} {failed}" if failed else told
            raise UsageError(what, where=self.where, fix=told if failed and said else "see git's own message")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return git(*arguments, folder=self.folder)
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"git {arguments[0]} took over {SECONDS:g} s", where=self.where, fix="try it by hand"
            ) from None
        except OSError as error:
            raise UsageError(
                f"git can't be run: {error.strerror}", where=self.where, fix="see that the folder is there"
            ) from error
