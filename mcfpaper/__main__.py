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


def evolve_command(parser: argparse.ArgumentParser) -> Run:
    """run the scheme on your data into a Zarr store, or resume a run"""
    parser.epilog = (
        "The same command resumes a run that was interrupted, and a later --t-end extends it. Exit status 0: every "
        "step met its tolerance."
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="Zarr store or netCDF file (version 4 needs h5netcdf) with variables rho0, rho1 and, unless the Bayes "
        "classifier is to be the start, u (level-set function, positive inside), on one uniform grid",
    )
    parser.add_argument("-o", "--output", metavar="STORE", required=True, help="where the trajectory is, or is to be")
    parser.add_argument("--eps", type=float, required=True, help="adversarial budget, in length units")
    parser.add_argument("--t-end", type=float, required=True, help="end time, a length squared like tau")
    parser.add_argument("--tau", type=float, help="time step, a length squared; default: the number eps")
    parser.add_argument("--method", choices=("smooth", "exact"), default="smooth", help="default: smooth")
    parser.add_argument("--ball", choices=("lattice", "box", "diamond"), help="ball of the exact method")
    parser.add_argument("--side", choices=("minimal", "maximal"), default="minimal", help="which minimiser (exact)")
    parser.add_argument("--tol", type=float, help="gap at which a smooth step may stop; default: 0.02 cells")
    parser.add_argument("--chunk", type=int, metavar="CELLS", help="work in blocks of so many cells a side")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="dask scheduler for the blocks, tcp://HOST:PORT")

    def run(arguments: argparse.Namespace) -> int:
        from ._commands import evolve

        options = {k: getattr(arguments, k) for k in ("eps", "t_end", "tau", "method", "ball", "side", "tol")}
        return evolve(arguments.input, arguments.output, arguments.chunk, arguments.scheduler, **options)

    return run


def explore_command(parser: argparse.ArgumentParser) -> Run:
    """look at a stored trajectory, or open the notebooks in JupyterLab"""
    parser.add_argument("store", metavar="STORE", nargs="?", help="trajectory to show; default: open the notebooks")
    parser.add_argument("--html", metavar="FILE", help="the page with its time slider; default: STORE.html")
    parser.add_argument("--no-browser", action="store_true", help="open no browser")

    def run(arguments: argparse.Namespace) -> int:
        from ._commands import explore

        return explore(arguments.store, arguments.html, not arguments.no_browser)

    return run


COMMANDS = {
    "reproduce": reproduce_command,
    "report": report_command,
    "book": book_command,
    "evolve": evolve_command,
    "explore": explore_command,
}


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
    except (ValueError, TypeError, OSError, RuntimeError, FloatingPointError) as error:
        print(f"mcfpaper {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
