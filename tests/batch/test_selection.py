"""An expression takes the rows that Python would take, and nothing but comparisons of columns."""

import pytest

from despoof.batch.selection import parse
from despoof.batch.shards import Row, table
from despoof.errors import ConfigError

pytest.importorskip("pyarrow")
SAID = [
    {"decision": "LIVE", "liveness": 0.9, "reasons": [], "quality": {"size": 100.0}},
    {"decision": "ATTACK", "liveness": 0.1, "reasons": [], "quality": {"size": 30.0}},
    {"decision": "NO_DECISION", "reasons": ["no_face", "dark"]},
    {"decision": "NO_DECISION", "reasons": ["error"], "error": "OSError: gone"},
    {"decision": "UNCERTAIN", "liveness": 0.3, "reasons": [], "quality": {"size": 80.0}},
]


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("decision != 'LIVE'", "1234"),
        ("decision == 'LIVE' or liveness < 0.2", "01"),
        ("0.2 <= liveness <= 0.9", "04"),
        ("liveness > -1", "014"),  # what has none is not above, nor below
        ("not liveness > 0.5", "14"),
        ("quality.size >= 80 and not decision == 'LIVE'", "4"),
        ("'no_face' in reasons", "2"),
        ("'dark' in reasons", "2"),
        ("'face' in reasons", ""),
        ("'error' not in reasons", "0124"),
        ("error is not None", "3"),
        ("liveness is None and error is None", "2"),
        ("id in ['r1', 'r4']", "14"),
        ("attempts == 1 and id not in ('r0',)", "1234"),
    ],
)
def test_it_takes_what_it_says(text, taken):
    rows = table((Row(f"r{i}", f"{i}.jpg"), said) for i, said in enumerate(SAID))
    assert "".join(name[1] for name in rows.filter(parse(text))["id"].to_pylist()) == taken


@pytest.mark.parametrize(
    "text",
    [
        "", "decision", "decision = 'LIVE'", "nothing == 1", "decision < 3", "__import__('os').system('true')",
        "decision == open('x')", "liveness == [1]", "quality == 1", "quality.none > 1", "reasons == 'a'",
        "1 < 2 +", "1j == liveness", "(lambda: 1)() == liveness", "id.__class__ == 'a'", "decision in decision",
        "(" * 500 + "1" + ")" * 500,
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="Example"):
        parse(text)
