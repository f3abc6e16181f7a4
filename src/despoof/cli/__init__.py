"""One command per file; `main` is the installed command `despoof`."""

import sys


def main() -> None:
    """Run the command line. Errors that a user can act on are one line on stderr and exit status 4."""
    from despoof.cli.app import build_app
    from despoof.errors import DespoofError

    try:
        build_app()()
    except DespoofError as error:
        print(f"despoof: {error}", file=sys.stderr)
        sys.exit(4)
    except KeyboardInterrupt:
        print("despoof: interrupted; run the same command again to go on.", file=sys.stderr)
        sys.exit(130)
