"""Attempts: only LIVE in time lets in; whatever breaks, hangs or says otherwise denies."""

import threading
import time

import pytest

from despoof.clip.attempts import Admission, AttemptPolicy, admit
from despoof.errors import ArtefactError, ConfigError
from despoof.runs.config import read_toml
from despoof.verdict import Decision, Verdict


def says(*decisions: str):
    left = [Verdict(Decision(each)) for each in decisions]
    return lambda: left.pop(0)


@pytest.mark.parametrize(
    ("decisions", "outcome", "asked"),
    [
        (["LIVE"], "LIVE", 1),
        (["UNCERTAIN", "NO_DECISION", "LIVE"], "LIVE", 3),
        (["ATTACK", "LIVE"], "ATTACK", 1),  # who showed an attack gets no second chance
        (["UNCERTAIN", "ATTACK", "LIVE"], "ATTACK", 2),
        (["UNCERTAIN", "NO_DECISION", "UNCERTAIN", "LIVE"], "UNCERTAIN", 3),
    ],
)
def test_what_follows_from_each_try(decisions, outcome, asked):
    found = admit(says(*decisions))
    assert (found.decision, len(found.decisions)) == (outcome, asked)
    assert found.is_live is (outcome == "LIVE")
    with pytest.raises(TypeError):
        bool(found)


def test_a_policy_may_forbid_and_allow_other_tries():
    assert not admit(says("UNCERTAIN", "LIVE"), AttemptPolicy(again=())).is_live
    assert not admit(says("UNCERTAIN", "LIVE"), AttemptPolicy(most=1)).is_live
    assert admit(says("ATTACK", "LIVE"), AttemptPolicy(again=("ATTACK",))).is_live


@pytest.mark.parametrize("error", [ArtefactError("no weights"), ImportError("no engine"), SystemExit(0), MemoryError()])
def test_whatever_is_raised_denies(error):
    def present() -> Verdict:
        raise error

    found = admit(present)
    assert (found.decision, found.is_live) == (Decision.NO_DECISION, False)
    assert "not judged" in found.why


@pytest.mark.parametrize("answer", [True, "LIVE", None, Decision.LIVE])
def test_what_is_no_verdict_denies(answer):
    assert not admit(lambda: answer).is_live


def test_what_hangs_and_what_comes_too_late_denies():
    never = threading.Event()
    begun = time.monotonic()
    found = admit(lambda: never.wait(30), AttemptPolicy(seconds=0.2))
    assert time.monotonic() - begun < 20  # it did not wait for the end
    assert found == Admission(Decision.NO_DECISION, "no answer within 0.2 s")
    never.set()

    def late() -> Verdict:
        time.sleep(0.3)
        return Verdict(Decision.LIVE)

    assert not admit(late, AttemptPolicy(seconds=0.1)).is_live
    uncertain = admit(lambda: time.sleep(0.1) or Verdict(Decision.UNCERTAIN), AttemptPolicy(most=99, seconds=0.5))
    assert (uncertain.decision, uncertain.is_live) == (Decision.NO_DECISION, False)
    assert len(uncertain.decisions) < 10


def test_a_policy_is_data_and_read_strictly(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text('most = 2\nseconds = 20\nagain = ["NO_DECISION"]\n')
    assert read_toml(AttemptPolicy, path) == AttemptPolicy(2, 20.0, ("NO_DECISION",))
    for wrong in ("most = 0", "seconds = 0", 'again = ["LIVE"]', 'again = ["maybe"]', "more = 3", "most = true"):
        path.write_text(wrong)
        with pytest.raises(ConfigError):
            read_toml(AttemptPolicy, path)
