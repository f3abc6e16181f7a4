"""`despoof leaderboard`: our weights and public models on one prepared set, as a page."""

from pathlib import Path

from despoof.cli.options import Place


def leaderboard(
    store: Place, out: Path, *, peer: list[Path] | None = None, peers: Path | None = None, scores: Path | None = None,
    weights: str = "default", point: str | None = None, steady: int = 70, runs: int = 30, rounds: int = 1000,
) -> None:  # fmt: skip
    """Compare our weights with public models: errors on each camera, stability, time, size and licence, as a page.

    Writes report.html, whose tables can be sorted, report.md, leaderboard.json and score files; run again to go on.
    Every domain of the store is a camera. It certifies nothing.

    Args:
        store: captures with live and attack, prepared; for public models the pictures must lie where they lay.
        out: folder.
        peer: TOML file that says how a public ONNX model is used, which lies beside it; give one for each.
        peers: folder with the ONNX files of the public models that the package knows, both of which join.
        scores: folder that `despoof evaluate` wrote with this store and --protocol leave-cameras-out: ours is judged by
            them on cameras that the weights learned, and public models that were scored there are not run again.
        weights: a preset's name, or a folder of weights with their export.
        point: strict, balanced or lenient, an operating point of the weights; its live_from is the shipped threshold.
        steady: faces, about, that stability is measured on; 0 leaves it out.
        runs: rounds of which times are medians; 0 leaves times out.
        rounds: of the bootstrap; 0 leaves intervals and differences out.
    """
    import cv2

    from despoof.evaluation.peers.peer import packaged, packaged_names, read_peer
    from despoof.evaluation.tables import markdown, read_tests
    from despoof.faces.store import Store
    from despoof.leaderboard.board import board, captured, on_board, steadiness
    from despoof.leaderboard.cost import side_by_side, timed_scene
    from despoof.leaderboard.entry import OURS, our_entry, peer_entries, require_apart
    from despoof.leaderboard.page import about, board_rows, write_board
    from despoof.pipeline import load

    cv2.setNumThreads(1)
    placed = [packaged(name, peers) for name in packaged_names()] if peers else []
    placed += [read_peer(file) for file in peer or ()]
    require_apart([OURS, *(each.name for each in placed)])
    guard = load(weights, engine="onnx", point=point, threads=1)
    opened, scored = Store(store), read_tests(scores / "scores") if scores else []
    rows = captured(opened)
    entries = [our_entry(guard, weights, opened, rows, out, scored=scored), *peer_entries(placed, rows, out, scored)]
    models = [on_board(each, rows, out, rounds=rounds) for each in entries]
    changed = steadiness(guard, entries, placed, rows, out, count=steady) if steady else {}
    times = side_by_side({each.name: each.judge for each in entries}, timed_scene(), runs) if runs else {}
    made = about(runs=runs, weights=guard.weights, peers={each.name: each.label for each in placed})
    values = made | board(entries, models, times, changed)
    page = write_board(out, values)
    head, *body = board_rows(values["rows"])
    print(markdown(head, body))
    print(f"  {page}")
