"""The tree of commands."""

import ast
from functools import cache
from pathlib import Path

from cyclopts import App

import despoof

# Command -> where its function lies. A new command is its file, a line here, a test and a line in the docs; each file
# is imported when its command is called.
COMMANDS: dict[str, str] = {
    "check": "check:check",
    "calibrate": "calibrate:calibrate",
    "adapt": "adapt:adapt",
    "demo": "demo:demo",
    "simulate": "simulate:simulate",
    "prepare": "prepare:prepare",
    "reconstruct": "reconstruct:reconstruct",
    "train autoencoder": "train:autoencoder",
    "train identity": "train:identity",
    "train generator": "train:generator",
    "train student": "train:student",
    "train detector": "train_detector:detector",
    "train departure": "train_departure:departure",
    "score": "score:score",
    "measure": "measure:measure",
    "qualify": "qualify:qualify",
    "drift": "drift:drift",
    "evaluate": "evaluate:evaluate",
    "report": "report:report",
    "leaderboard": "leaderboard:leaderboard",
    "published": "published:published",
    "study cue": "study:cue",
    "study carriers": "study:carriers",
    "study fidelity": "study:fidelity",
    "study generators": "study:generators",
    "study robustness": "study:robustness",
    "study forms": "study:forms",
    "study hard-faces": "study:hard_faces",
    "study shortcuts": "study:shortcuts",
    "study simulator": "study:simulator",
    "study student": "study:student",
    "study reliance": "study:reliance",
    "study stability": "study:stability",
    "study gate": "study:gate",
    "study adaptation": "study:adaptation",
    "export": "export:export",
    "serve": "serve:serve",
    "weights pack": "weights:pack",
    "weights push": "weights:push",
    "info": "info:info",
    "data list": "data:list_datasets",
    "data check": "data:check",
    "data leaks": "data:leaks",
    "data shards": "data:shards",
}
GROUPS = {
    "train": "Train one part; each resumes where it stopped.",
    "study": "What generator, cue and detector know.",
    "data": "Datasets: what is supported, what lies in a folder, what leaks.",
    "weights": "Weights files.",
}


def build_app() -> App:
    """Return the command line; each command reads the artefact before it and writes its own."""
    app = App(
        name="despoof", help=despoof.__doc__, version=despoof.__version__,
        suppress_keyboard_interrupt=False,  # or the message of `main` would never be printed
    )  # fmt: skip
    groups: dict[str, App] = {}
    for name, place in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = App(name=group, help=GROUPS[group])
            app.command(groups[group])
        groups.get(group, app).command(f"despoof.cli.{place}", name=last, help=_summary(place))
    return app


def _summary(place: str) -> str:
    """Return the first line of a command's docstring without importing it, so that the list of commands is quick."""
    file, _, function = place.partition(":")
    return _summaries(file)[function]


@cache
def _summaries(file: str) -> dict[str, str]:
    body = ast.parse((Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")).body
    functions = (node for node in body if isinstance(node, ast.FunctionDef))
    return {node.name: (ast.get_docstring(node) or "").partition("\n")[0] for node in functions}
