"""The tree of commands."""

from cyclopts import App

import despoof
from despoof.cli.calibrate import calibrate
from despoof.cli.check import check
from despoof.cli.cue import cue
from despoof.cli.data import check as check_data
from despoof.cli.data import leaks, list_datasets
from despoof.cli.demo import demo
from despoof.cli.evaluate import evaluate
from despoof.cli.export import export
from despoof.cli.faithfulness import faithfulness
from despoof.cli.gate import gate
from despoof.cli.info import info
from despoof.cli.prepare import prepare
from despoof.cli.published import results
from despoof.cli.reconstruct import reconstruct
from despoof.cli.report import report
from despoof.cli.serve import serve
from despoof.cli.ship import ship
from despoof.cli.simulate import simulate
from despoof.cli.study import forms, generators, hard_faces, reliance, robustness, shortcuts
from despoof.cli.train import autoencoder, generator, identity, student
from despoof.cli.train_detector import detector


def build_app() -> App:
    """Return the command line; each command reads the artefact before it and writes its own."""
    app = App(name="despoof", help=despoof.__doc__, version=despoof.__version__)
    studies = (faithfulness, cue, evaluate, report, results, gate)
    for command in (check, calibrate, demo, simulate, prepare, reconstruct, *studies, export, serve, ship, info):
        app.command(command)
    train = App(name="train", help="Train one part: autoencoder, identity, generator, student, detector.")
    for command in (autoencoder, identity, generator, student, detector):
        train.command(command)
    app.command(train)
    study = App(name="study", help="What the generator, its cue and the detector know.")
    for command, name in (
        (generators, "generators"), (robustness, "robustness"), (forms, "forms"), (hard_faces, "hard-faces"),
        (shortcuts, "shortcuts"), (reliance, "reliance"),
    ):  # fmt: skip
        study.command(command, name=name)
    app.command(study)
    data = App(name="data", help="Datasets: list, check, leaks.")
    for command, name in ((list_datasets, "list"), (check_data, "check"), (leaks, "leaks")):
        data.command(command, name=name)
    app.command(data)
    return app
