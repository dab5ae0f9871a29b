"""What every verb shares: lazy loading, how an error is told, exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from analyzer.errors import AnalyzerError, UsageError, did_you_mean

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


class Verb(click.Command):
    """A command with the options that all verbs have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_quiet, help="No words beside the data."
            ),
            click.Option(
                ["--debug"], is_flag=True, expose_value=False, callback=_debug, help="Add the traceback to an error."
            ),
        ]


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.find_root().meta["analyzer.debug"] = value
    if value:
        os.environ["ANALYZER_DEBUG"] = "1"


def _quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["analyzer.quiet"] = value


def is_quiet() -> bool:
    """Whether --quiet was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get("analyzer.quiet"))


def say(text: str) -> None:
    """Words for people, on stderr; nothing under --quiet."""
    if not is_quiet():
        click.echo(text, err=True)


def warn(text: str) -> None:
    """A warning, on stderr, also under --quiet."""
    click.echo(f"{click.style('warning:', fg='yellow')} {text}", err=True, color=use_color())


def use_color() -> bool | None:
    """What NO_COLOR and FORCE_COLOR ask for; None leaves it to the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def run(group: click.Group, args: Sequence[str] | None = None) -> int:
    """Runs the group and returns the exit code; an error is told in three parts, never as a traceback."""
    try:
        result = group.main(None if args is None else list(args), prog_name="analyze", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except AnalyzerError as error:
        _tell(error.what, error.where, error.fix)
        return error.exit_code
    except click.ClickException as error:
        _tell(*_click_parts(error))
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_went_away()
    except SystemExit as error:
        # click exits by itself for shell completion, and with 1 (our code for budgets) where stdout's reader is gone.
        if "_ANALYZE_COMPLETE" not in os.environ:
            return _reader_went_away()
        return error.code if isinstance(error.code, int) else 0
    except Exception as error:
        return _defect(error)


def _reader_went_away() -> int:
    """`| head` is not an error. Keeps the interpreter from flushing into the closed pipe at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return 0


def _click_parts(error: click.ClickException) -> tuple[str, str, str]:
    where = ""
    fix = "see --help"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        where = error.ctx.command_path
        fix = f"see {where} --help"
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        fix = did_you_mean(error.option_name, error.possibilities)
        return f"no such option: {error.option_name}", where, fix
    return error.format_message().rstrip("."), where, fix


def _tell(what: str, where: str, fix: str) -> None:
    color = use_color()
    click.echo(f"{click.style('error:', fg='red', bold=True)} {_printable(what)}", err=True, color=color)
    if where:
        click.echo(f"  where: {_printable(where)}", err=True)
    if fix:
        click.echo(f"  fix:   {_printable(fix)}", err=True)
    if os.environ.get("ANALYZER_DEBUG"):
        traceback.print_exc()


def _printable(text: str) -> str:
    """Text from outside without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def _defect(error: Exception) -> int:
    from analyzer.measuring.environment import package_version

    frame = traceback.extract_tb(error.__traceback__)[-1]
    click.echo(f"this is a defect of analyze, not yours: {type(error).__name__}: {_printable(str(error))}", err=True)
    click.echo(
        f"  please report it with this line: analyze {package_version()}, python {sys.version.split()[0]}, "
        f"{os.path.basename(frame.filename)}:{frame.lineno} in {frame.name}",
        err=True,
    )
    if os.environ.get("ANALYZER_DEBUG"):
        traceback.print_exception(error)
    else:
        click.echo("  --debug shows the traceback", err=True)
    return DEFECT
