"""The command line: ``mcfpaper`` or ``python -m mcfpaper``.

A sub-command is a function that takes its own parser, adds arguments and returns what runs it; it imports
what it needs only when it runs, so that ``--help`` is quick.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

Run = Callable[[argparse.Namespace], int]


def reproduce_command(parser: argparse.ArgumentParser) -> Run:
    """execute the notebooks and report their claims"""
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="number, file name or path; default: all")
    parser.add_argument("--scale", choices=("quick", "full"), help="default: MCFPAPER_SCALE, else quick")
    parser.add_argument("--inplace", action="store_true", help="renew the committed notebooks and records too")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="dask scheduler for the parameter studies, tcp://HOST:PORT"
    )

    def run(arguments: argparse.Namespace) -> int:
        from .reproduce import reproduce

        return reproduce(arguments.names, arguments.scale, arguments.inplace, arguments.scheduler)

    return run


def report_command(parser: argparse.ArgumentParser) -> Run:
    """report the claims of the last runs against the committed ones"""
    parser.add_argument("--scale", choices=("quick", "full"), help="default: MCFPAPER_SCALE, else quick")
    parser.add_argument("--html", metavar="FILE", help="the page; default: data/runs/SCALE/report.html")

    def run(arguments: argparse.Namespace) -> int:
        from .report import report

        return report(arguments.scale, html=arguments.html)

    return run


def book_command(parser: argparse.ArgumentParser) -> Run:
    """make static pages of the notebooks and their claims, read without a network"""
    parser.add_argument("-o", "--out", metavar="FOLDER", help="default: _book in the checkout")
    parser.add_argument("--scale", choices=("quick", "full"), help="of the last run; default: the committed notebooks")

    def run(arguments: argparse.Namespace) -> int:
        from .book import build

        print(f"Book: {build(arguments.out, arguments.scale)}")
        return 0

    return run


COMMANDS = {"reproduce": reproduce_command, "report": report_command, "book": book_command}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; the exit status is 0 only when what it did holds."""
    parser = argparse.ArgumentParser(
        prog="mcfpaper", description="A mean curvature flow arising in adversarial training, as a paper that runs."
    )
    parser.add_argument("--version", action="version", version=f"mcfpaper {version('mcfpaper')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        sub.set_defaults(run=command(sub))
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"mcfpaper {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
