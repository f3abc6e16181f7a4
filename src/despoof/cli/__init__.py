"""One command per file; `main` is the installed command `despoof`."""

import os
import sys

EXTRAS = {  # package -> the extra that brings it
    **dict.fromkeys(("torch", "diffusers", "accelerate", "safetensors", "scipy", "skimage"), "train"),
    **dict.fromkeys(("matplotlib", "jinja2"), "report"),
}
USAGE, FAILED, INTERRUPTED, CLOSED_PIPE = 2, 4, 130, 141  # exit statuses; those of verdicts are check's own


def main() -> None:
    """Run the command line.

    What a user can act on is one line on stderr: exit status 2 for a command that is not understood, 4 for an error of
    input, weights or config. A traceback (1) is a defect.
    """
    from cyclopts import CycloptsError

    from despoof.cli.app import build_app
    from despoof.errors import DespoofError

    for stream in (sys.stdout, sys.stderr):  # a file name that the terminal's encoding lacks is no reason to stop
        stream.reconfigure(errors="backslashreplace")
    try:
        build_app()(exit_on_error=False)
        sys.stdout.flush()
    except CycloptsError:  # cyclopts has said what is wrong
        sys.exit(USAGE)
    except DespoofError as error:
        print(f"despoof: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except ModuleNotFoundError as error:
        if (package := (error.name or "").partition(".")[0]) not in EXTRAS:
            raise
        print(f"despoof: this command needs {package}. Run: pip install 'despoof[{EXTRAS[package]}]'", file=sys.stderr)
        sys.exit(FAILED)
    except BrokenPipeError:  # `despoof … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED_PIPE)
    except KeyboardInterrupt:
        print("despoof: interrupted; run the same command again to go on.", file=sys.stderr)
        sys.exit(INTERRUPTED)
