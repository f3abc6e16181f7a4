"""A folder of weights -> a repository of the Hugging Face hub, with a card that says what they are.

Needs the extra `hub`. How they are taken back: `despoof.pair.from_hub`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from despoof.engine.choose import open_engine
from despoof.errors import ArtefactError, ConfigError
from despoof.pair import HUB_NAME, PRESETS, TAKEN
from despoof.points import DEFAULT, expected_rows, points_of
from despoof.runs.folder import write_text

if TYPE_CHECKING:
    from types import ModuleType

    from huggingface_hub import ModelCardData

CARD = "README.md"
TAGS = ["face-anti-spoofing", "presentation-attack-detection", "liveness", "onnx"]
NOT_CERTIFIED = (
    "These figures are no certification. Only an accredited laboratory can test a whole product under ISO/IEC 30107-3."
)


def push(folder: Path, repository: str, *, datasets: Sequence[str] = (), public: bool = False) -> str:
    """Write the card into a folder of weights, upload what the hub may hold of it, and return the address.

    A folder whose weights cannot be judged by is an ArtefactError before anything is written. A new repository is
    private unless `public`. Without a token, and where the hub refuses or cannot be reached, a ConfigError.
    """
    hub = _hub()
    named = HUB_NAME.fullmatch(repository)
    if named is None or named["revision"]:
        raise ConfigError(f"{repository!r} names no repository; expected owner/name. Correct it.")
    if str(folder) in PRESETS or not folder.is_dir():
        raise ConfigError(f"{folder} is no folder of weights. Make one with: despoof weights pack")
    write_card(folder, repository, datasets=datasets)
    if hub.get_token() is None:
        raise ConfigError(
            f"the card is written ({folder / CARD}), and there is no token to upload with. Log in with "
            "`hf auth login`, or set HF_TOKEN to a token that may write, and run again."
        )
    try:
        hub.create_repo(repository, private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=list(TAKEN),
            commit_message="Weights of despoof",
        )  # fmt: skip
    except Exception as error:  # of the network and of the hub, which share no class
        said = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"the card is written ({folder / CARD}), and {repository} was not uploaded ({type(error).__name__}: "
            f"{said}). Check the network, the name and what the token may do, and run again."
        ) from None
    return f"https://huggingface.co/{repository}"


def write_card(folder: Path, repository: str, *, datasets: Sequence[str] = ()) -> Path:
    """Write FOLDER/README.md: a header for the hub, and what these weights are and are expected to err.

    A card that lies there keeps its text, and its own header goes before what is told here.
    """
    hub = _hub()
    engine = open_engine(folder, threads=1)
    path, facts = folder / CARD, engine.facts
    header = card_data(facts, repository, datasets).to_dict()
    text = card_text(facts, engine.weights, repository)
    if path.is_file():
        try:
            held = hub.ModelCard(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ArtefactError(f"{path} has a header that cannot be read ({error}). Correct or delete it.") from None
        header, text = header | held.data.to_dict(), held.text.strip() or text
    lines = hub.ModelCardData(**_as_given(hub, header)).to_yaml().strip()
    write_text(path, f"---\n{lines}\n---\n\n{text.strip()}\n")
    return path


def card_data(facts: dict[str, Any], repository: str, datasets: Sequence[str] = ()) -> "ModelCardData":
    """Return the header: licence, data sets, metrics, and the rates expected of cameras never seen."""
    hub, expected = _hub(), points_of(facts)[DEFAULT].expected
    rates = {"bpcer": expected.get("bpcer"), "apcer": expected.get("apcer", {}).get("mean")}
    results = [
        hub.EvalResult(
            task_type="image-classification", dataset_type="cameras-left-out",
            dataset_name=f"{expected['cameras']} cameras, each judged by members that never saw it",
            metric_type=name, metric_name=f"{name.upper()} at point {DEFAULT}", metric_value=rate["value"],
        )
        for name, rate in rates.items() if rate
    ]  # fmt: skip
    return hub.ModelCardData(
        license="other", license_name=facts.get("licence", "not stated by the weights"), library_name="despoof",
        pipeline_tag="image-classification", tags=TAGS, datasets=list(datasets) or None,
        metrics=[name for name, rate in rates.items() if rate] or None,
        model_name=repository.partition("/")[2], eval_results=results or None,
    )  # fmt: skip


def card_text(facts: dict[str, Any], weights: dict[str, str], repository: str) -> str:
    """Return a card's text in Markdown, for weights that have none of their own."""
    from tabulate import tabulate

    head, rows = expected_rows(points_of(facts))
    made = ", ".join(f"{part} {label}" for part, label in weights.items())
    return f"""# {repository.partition("/")[2]}

Face liveness detection by `despoof`. Licence of the weights: {facts.get("licence", "not stated")}.

```python
import despoof

guard = despoof.load("{repository}")  # better with @revision behind it: what is judged then never changes
```

Operating points, and what to expect of them on a camera never seen, in percent (95 % interval):

{tabulate(rows, head, tablefmt="github", disable_numparse=True)}

{NOT_CERTIFIED}

Hashes: {made}.
"""


def _as_given(hub: "ModuleType", header: dict[str, Any]) -> dict[str, Any]:
    """Return a header as `ModelCardData` takes it, which names figures otherwise than it writes them."""
    if "model-index" not in header:
        return header
    name, results = hub.repocard_data.model_index_to_eval_results(header["model-index"])
    rest = {key: value for key, value in header.items() if key != "model-index"}
    return rest | {"model_name": name, "eval_results": results}


def _hub() -> "ModuleType":
    try:
        import huggingface_hub
        import huggingface_hub.repocard_data
    except ImportError:
        raise ConfigError("huggingface_hub is not installed. Run: pip install 'despoof[hub]'") from None
    return huggingface_hub
