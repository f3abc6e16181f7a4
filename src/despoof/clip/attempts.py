"""How often somebody may try, and what follows from each try: a policy as data -> allowed or denied.

Nothing but a decision LIVE in time allows. Whatever else happens denies: an error, missing weights, no engine, no
answer in time, tries used up. A file of a policy is read by `despoof.runs.config.read_toml(AttemptPolicy, path)`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from despoof.errors import ConfigError
from despoof.verdict import Decision, Outcome


@dataclass(frozen=True)
class AttemptPolicy:
    """What one who asks to be let in may do.

    Args:
        most: presentations, the first among them. Each further one gives an attack another chance.
        seconds: for all of them together; an answer after that is no answer.
        again: decisions after which another presentation may follow; every other one but LIVE denies at once.
    """

    most: int = 3
    seconds: float = 60.0
    again: tuple[str, ...] = ("UNCERTAIN", "NO_DECISION")

    def __post_init__(self) -> None:
        if self.most < 1 or not 0 < self.seconds < float("inf"):
            raise ConfigError(f"{self.most} attempts in {self.seconds} s; expected at least one, and seconds above 0.")
        if unknown := set(self.again) - (set(Decision) - {Decision.LIVE}):
            raise ConfigError(f"again {sorted(unknown)}; expected of ATTACK, UNCERTAIN, NO_DECISION: LIVE allows.")


@dataclass(frozen=True)
class Admission(Outcome):
    """The outcome of all attempts: LIVE lets in, and nothing else does.

    `decision` is that of the last presentation, NO_DECISION where an error or the time ended it; `decisions` are those
    of all in their order.
    """

    decision: Decision
    why: str
    decisions: tuple[Decision, ...] = ()


def admit(present: Callable[[], Outcome], policy: AttemptPolicy | None = None) -> Admission:
    """Ask for presentations until one is LIVE or the policy denies; whatever `present` raises denies too.

    `present` shows and judges once, in a thread of its own; one that does not end in time is left behind.
    """
    policy, decisions = policy or AttemptPolicy(), []
    end = time.monotonic() + policy.seconds
    while len(decisions) < policy.most:
        answers: list[Outcome | BaseException] = []
        thread = threading.Thread(target=_answer, args=(present, answers), daemon=True)
        thread.start()
        thread.join(max(0.0, end - time.monotonic()))
        if time.monotonic() >= end or not answers:
            return Admission(Decision.NO_DECISION, f"no answer within {policy.seconds:g} s", tuple(decisions))
        if not isinstance(answers[0], Outcome):
            return Admission(Decision.NO_DECISION, f"not judged: {answers[0]!r}", tuple(decisions))
        decisions.append(answers[0].decision)
        if decisions[-1] not in policy.again:  # LIVE never is
            return Admission(decisions[-1], f"{decisions[-1]} at attempt {len(decisions)}", tuple(decisions))
    return Admission(decisions[-1], f"{policy.most} attempts, the last {decisions[-1]}", tuple(decisions))


def _answer(present: Callable[[], Outcome], answers: list[Outcome | BaseException]) -> None:
    try:
        answers.append(present())
    except BaseException as error:  # noqa: BLE001 SystemExit too: what ended is no answer
        answers.append(error)
