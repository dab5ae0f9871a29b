"""What every verb shares: lazy loading, how an error is told, exit codes."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import click

from analyzer.cli.help import examples_of, first_commands, write_examples, write_options
from analyzer.cli.streams import OutputLostError, drop_stdout, guarded, standing, tell
from analyzer.errors import AnalyzerError, DamageWarning, UsageError, did_you_mean, words_of

INTERRUPTED, DEFECT = 130, 70


class LazyGroup(click.Group):
    """A group whose commands are imported when called; `--help` needs only their names and one-line helps."""

    def __init__(self, helps: dict[str, str]) -> None:
        super().__init__(
            "analyze",
            help="Know what a convolutional network costs before you train it, and hold it to a budget.",
            epilog="A target: a preset (article, densenet121), a variant's name, package.module:attr or path.py:attr. "
            'Shell completion: eval "$(_ANALYZE_COMPLETE=bash_source analyze)".',
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        )
        self.helps = helps
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Print the version.",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; without a word at all it is asked for help, and what to try first."""
        if not args and not ctx.resilient_parsing:
            click.echo(f"{ctx.get_help()}\n\n{first_commands(ctx)}")
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of use."""
        return list(self.helps)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports a verb's file."""
        if name not in self.helps:
            return None
        command: click.Command = importlib.import_module(f"analyzer.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest verb in the error."""
        if args and args[0] not in self.helps and not args[0].startswith("-"):
            raise UsageError(
                f"unknown command {args[0][:60]!r}", where="analyze", fix=did_you_mean(args[0], self.helps)
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.helps.items()))


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from analyzer.measuring.environment import package_version

        click.echo(f"analyze {package_version()}")
        ctx.exit()


class Section(click.Group):
    """Verbs under one word, such as `results`: alone it prints its help, which is no mistake."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)


class Verb(click.Command):
    """A command with the options that all verbs have, and help that begins with examples."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_quiet, help="No words beside the data."
            ),
            click.Option(
                ["--exact"], is_flag=True, expose_value=False, callback=_exact,
                help="Every digit of a count, however narrow the table.",
            ),
            click.Option(
                ["--debug"], is_flag=True, expose_value=False, callback=_debug, help="Add the traceback to an error."
            ),
        ]  # fmt: skip

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, then options in groups."""
        write_examples(examples_of(ctx), formatter)
        write_options(self, ctx, formatter)


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.find_root().meta["analyzer.debug"] = value
    if value:
        os.environ["ANALYZER_DEBUG"] = "1"


def _quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["analyzer.quiet"] = value


def _exact(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["analyzer.exact"] = value


def is_exact() -> bool:
    """Whether --exact was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get("analyzer.exact"))


def is_quiet() -> bool:
    """Whether --quiet was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get("analyzer.quiet"))


def say(text: str) -> None:
    """Words for people, on stderr; nothing under --quiet."""
    if not is_quiet():
        tell(text)


def warn(text: str) -> None:
    """A warning, on stderr, also under --quiet."""
    tell(text, head="warning:", style="yellow")


def run(group: click.Group, args: Sequence[str] | None = None) -> int:
    """Runs the group and returns the exit code; an error is told in three parts, never as a traceback."""
    try:
        with guarded():
            code = _run(group, args)
            with standing(code):
                sys.stdout.flush()
        return code
    except OutputLostError as lost:
        drop_stdout()
        if not isinstance(lost.reason, BrokenPipeError):
            _tell("can't be written, so not all was said", "stdout", f"{lost.reason.strerror}: write to another place")
        return lost.exit_code


def _run(group: click.Group, args: Sequence[str] | None) -> int:
    try:
        with _warnings_told():
            result = group.main(None if args is None else list(args), prog_name="analyze", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except OutputLostError:
        raise
    except AnalyzerError as error:
        _tell(error.what, error.where, error.fix)
        return error.exit_code
    except click.ClickException as error:
        _tell(*_click_parts(error))
        return 2
    except (KeyboardInterrupt, click.Abort):
        tell("interrupted")
        return INTERRUPTED
    except SystemExit as error:
        # click exits by itself for shell completion, and with 1 (our code for budgets) where any pipe is gone.
        if "_ANALYZE_COMPLETE" not in os.environ:
            return _defect(error.__context__ or error)
        return error.code if isinstance(error.code, int) else 0
    except OSError as error:
        return _place_failed(error) or _defect(error)
    except Exception as error:
        return _defect(error)


_OF_A_PLACE = ("ENAMETOOLONG", "ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EACCES", "EPERM", "EROFS", "ESTALE", "ENOSPC",
               "EDQUOT", "EINVAL", "EILSEQ")  # fmt: skip


def _place_failed(error: OSError) -> int:
    """2 where a folder or file is to blame that is not, or no longer, what it was taken for; 0 for anything else."""
    if error.errno not in {getattr(errno, name, None) for name in _OF_A_PLACE}:
        return 0
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    try:
        os.getcwd()
    except OSError:
        where = "the working directory is gone"
    if where:
        _tell(f"can't be used: {error.strerror}", where, "name another place, or see that it is there and may be used")
    return 2 if where else 0


@contextlib.contextmanager
def _warnings_told() -> Iterator[None]:
    """Tells of damaged rows as of anything else that is worth a warning."""
    with warnings.catch_warnings():
        before = warnings.showwarning

        def told(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, DamageWarning):
                warn(str(message))
            else:
                before(message, category, *place, **more)

        warnings.showwarning = told
        warnings.simplefilter("always", DamageWarning)
        yield


def _click_parts(error: click.ClickException) -> tuple[str, str, str]:
    where, fix, ctx = "", "see --help", getattr(error, "ctx", None)
    if ctx is not None:
        where = ctx.command_path
        fix = f"see {where} --help"
        if examples := examples_of(ctx):
            fix = f"such as: analyze {examples[0][1]} (more: {where} --help)"
    what = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        return f"no such option: {error.option_name}", where, did_you_mean(error.option_name, error.possibilities)
    if "unexpected extra argument" in what:
        fix = f"leave it out, or put several targets side by side: analyze compare A B (see {where} --help)"
    if isinstance(error, click.BadParameter) and isinstance(getattr(error.param, "type", None), click.Choice):
        what, _, choices = what.partition(" is not one of ")
        return f"{what} is not known", where, f"use one of: {choices}"
    return what, where, fix


def _tell(what: str, where: str, fix: str) -> None:
    tell(what, head="error:", style="red")
    for label, text in (("  where:", where), ("  fix:  ", fix)):
        if text:
            tell(f"{label} {text}")
    _show_traceback()


def _show_traceback() -> None:
    if os.environ.get("ANALYZER_DEBUG"):
        tell(traceback.format_exc().rstrip())


def _defect(error: BaseException) -> int:
    from analyzer.measuring.environment import package_version

    place = "no frame"
    if frames := traceback.extract_tb(error.__traceback__):
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno} in {frames[-1].name}"
    tell(f"this is a defect of analyze, not yours: {words_of(error)}")
    tell(f"  please report it with this line: analyze {package_version()}, python {sys.version.split()[0]}, {place}")
    _show_traceback()
    if not os.environ.get("ANALYZER_DEBUG"):
        tell("  --debug shows the traceback")
    return DEFECT
