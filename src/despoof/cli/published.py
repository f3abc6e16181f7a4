"""`despoof published`: published figures with their conventions, beside a run of one's own."""

from pathlib import Path


def published(
    protocol: str | None = None, *, own: Path | None = None, metric: str | None = None, mixed: bool = False
) -> None:
    """Print what others published of a protocol, as Markdown; without a protocol, list the protocols.

    Rows are ranked only where they share training data, origin of the threshold, selection and unit of the
    score. Means are computed from the cells; where a source states another, both are shown.

    Args:
        protocol: name of one, such as mcio.
        own: folder that `despoof evaluate` wrote; its rows stand among the others, once per threshold source.
        metric: shown in cells and ranked by, such as hter, auc, tpr_at_fpr1; the protocol's first if left out.
        mixed: rank rows of all conventions together, under a warning.
    """
    from despoof.errors import InputError
    from despoof.evaluation.tables import read_tests
    from despoof.published.ranking import protocol_sections, registry_sections
    from despoof.published.registry import read_registry
    from despoof.report.page import page_markdown

    registry = read_registry()
    if protocol is None:
        if own is not None or metric is not None or mixed:
            raise InputError("a run, a metric or a ranking without a protocol; expected its name first. Give one.")
        sections = registry_sections(registry)
    else:
        files = read_tests(own) if own is not None else []
        sections = protocol_sections(registry, protocol, files, metric=metric, mixed=mixed)
    print(page_markdown("Published figures", sections), end="")
