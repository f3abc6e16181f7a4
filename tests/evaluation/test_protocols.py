"""Declarations mean what they say, cell by cell: a source too many, or a split let in, is a leak."""

import tomllib
from dataclasses import replace
from itertools import permutations

import pytest

from despoof.data.sample import Label, Sample, Split
from despoof.errors import ConfigError, InputError
from despoof.evaluation.protocols import REGISTRY, Cell, Part, Protocol, is_live, leave_one_out, read_protocol
from despoof.faces.store import StoredSample

M, C, I, O = "msu-mfsd", "casia-fasd", "replay-attack", "oulu-npu"  # noqa: E741 - the field's letters


def _samples(*domains: str, kinds: tuple[str, ...] = ("print", "replay")) -> list[Sample]:
    """One live and one attack of each kind for every split of every domain."""
    return [
        Sample(f"{domain}/{split}-{kind}.avi#0", label, kind, f"{split}-{kind}", domain, split)
        for domain in domains
        for split in Split
        for label, kind in [(Label.LIVE, "none"), *((Label.ATTACK, kind) for kind in kinds)]
    ]


def test_leave_one_domain_out_tests_each_domain_once_and_learns_from_all_others():
    protocol = read_protocol("leave-one-domain-out", _samples("selfie", "office", "webcam"))
    assert [(cell.target, cell.train.domains) for cell in protocol.cells] == [
        ("office", ("selfie", "webcam")),
        ("selfie", ("office", "webcam")),
        ("webcam", ("office", "selfie")),
    ]


def _with_simulated() -> list[Sample]:
    """Two real domains, a recapture of each under the same people, and portraits of no domain."""
    real = _samples("office", "webcam")
    shown = [
        replace(each, path=f"again/{each.path}", domain=f"{each.domain}-simulated", simulated=True, origin=each.domain)
        for each in real
    ]
    portraits = [
        Sample(f"p/{i}", Label.LIVE, subject=f"p{i}", domain="simulated", simulated=True, origin=origin)
        for i, origin in enumerate(("", "portraits"))
    ]
    return real + shown + portraits


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("leave-one-domain-out", ["office", "webcam"]),
        ("single-source", ["webcam", "office"]),
        ("leave-one-attack-type-out", ["office+webcam"] * 2),
        ("manifest-splits", ["office+webcam"]),
    ],
)
def test_nothing_simulated_is_a_target_and_no_recapture_of_a_target_is_learned_from(name, targets):
    samples = _with_simulated()
    cells = read_protocol(name, samples).cells
    assert [cell.target for cell in cells] == targets
    for cell in cells:
        assert not any(sample.simulated for sample in samples if cell.test.holds(sample))
        for sample in filter(cell.train.holds, samples):
            assert not sample.simulated or (sample.origin in cell.train.domains and sample.origin != cell.target)
    if name in ("leave-one-domain-out", "single-source"):
        assert any(sample.simulated for sample in samples if cells[0].train.holds(sample))


def test_simulated_captures_of_no_domain_are_learned_from_only_where_the_protocol_asks(tmp_path):
    text = 'format = "despoof-protocols/1"\n[own]\neach = "domain"\ndomains = ["*"]\nsimulated = "{}"\n'
    found = {}
    for word in ("none", "recaptures", "all"):
        (tmp_path / "own.toml").write_text(text.format(word))
        (cell, _) = read_protocol(str(tmp_path / "own.toml"), _with_simulated()).cells
        found[word] = {sample.domain for sample in _with_simulated() if cell.train.holds(sample)}
    real, recaptures = {"webcam"}, {"webcam", "webcam-simulated"}
    assert found == {"none": real, "recaptures": recaptures, "all": recaptures | {"simulated"}}
    (tmp_path / "own.toml").write_text(text.format("some"))
    with pytest.raises(ConfigError, match="none, recaptures, all"):
        read_protocol(str(tmp_path / "own.toml"), _with_simulated())


def test_studies_leave_one_out_as_the_protocol_does():
    rows = [StoredSample(sample, "face") for sample in _with_simulated()]
    cells = read_protocol("leave-one-domain-out", [row.sample for row in rows]).cells
    for cell, (target, train, test) in zip(cells, leave_one_out(rows), strict=True):
        assert target == cell.target
        assert train.tolist() == [cell.train.holds(row.sample) for row in rows]
        assert test.tolist() == [cell.test.holds(row.sample) for row in rows]
    assert is_live(rows).sum() == sum(row.sample.label is Label.LIVE for row in rows)
    with pytest.raises(InputError, match="at least 2"):
        leave_one_out([row for row in rows if row.sample.domain != "webcam"])


@pytest.mark.parametrize("domains", [["office"], ["office", "office"], []])
def test_too_few_or_repeated_domains_are_refused(domains):
    with pytest.raises(InputError):
        read_protocol("leave-one-domain-out", _samples(*domains))


def test_a_cell_cannot_learn_from_its_target_unless_people_or_splits_are_apart():
    with pytest.raises(InputError, match="Take the target out"):
        Cell("bad", Part(("office", "webcam")), Part(("office",)))
    Cell("people", Part(("office",)), Part(("office",)), held_subjects=0.3)
    Cell("splits", Part(("office",), splits=(Split.TRAIN,)), Part(("office",), splits=(Split.TEST,)))


def test_mcio_is_as_published():
    """Order M, C, I, O; I and O lack their development part; two frames by the published rule; video means."""
    protocol = read_protocol("loo-mcio", [])
    assert [cell.target for cell in protocol.cells] == [M, C, I, O]
    assert all({cell.target, *cell.train.domains} == {M, C, I, O} for cell in protocol.cells)
    assert (protocol.frames, protocol.unit) == ("published:2", "video mean")
    unused = {(s.domain, s.split) for s in _samples(M, C, I, O) if not protocol.uses(s)}
    assert unused == {(I, Split.VALIDATION), (O, Split.VALIDATION)}


def test_limited_sources_and_single_sources_are_the_published_pairs():
    limited = read_protocol("limited-mi", [])
    assert [(set(cell.train.domains), cell.target) for cell in limited.cells] == [({M, I}, C), ({M, I}, O)]
    single = read_protocol("single-source-mcio", [])
    found = {(cell.train.domains[0], cell.target) for cell in single.cells}
    assert found == set(permutations((M, C, I, O), 2))
    assert len(single.cells) == 12


def test_one_source_has_seven_targets():
    cells = read_protocol("celeba-to-seven", []).cells
    assert {cell.train.domains for cell in cells} == {("celeba-spoof",)}
    assert len({cell.target for cell in cells}) == 7


def test_an_attack_type_left_out_is_tested_and_never_trained_on():
    samples = _samples("office", "webcam", kinds=("mask", "print", "replay"))
    cells = read_protocol("leave-one-attack-type-out", samples).cells
    assert [cell.name for cell in cells] == ["unseen-mask", "unseen-print", "unseen-replay"]
    for cell in cells:
        unseen = cell.name.removeprefix("unseen-")
        assert {s.attack_type for s in samples if cell.train.holds(s)} == {"none", "mask", "print", "replay"} - {unseen}
        assert {s.attack_type for s in samples if cell.test.holds(s)} == {"none", unseen}
        assert 0 < cell.held_subjects < 1
    with pytest.raises(InputError, match="at least two"):
        read_protocol("leave-one-attack-type-out", _samples("office", kinds=("print",)))


def test_the_split_column_of_a_manifest_is_a_protocol():
    (cell,) = read_protocol("manifest-splits", _samples("office")).cells
    for part, split in ((cell.train, Split.TRAIN), (cell.validation, Split.VALIDATION), (cell.test, Split.TEST)):
        assert {s.split for s in _samples("office") if part.holds(s)} == {split}


@pytest.mark.parametrize("name", sorted(set(tomllib.loads(REGISTRY.read_text())) - {"format"}))
def test_every_declaration_can_be_read(name):
    domains = (M, C, I, O, "siw-mv2", "office", "webcam")
    protocol = read_protocol(name, _samples(*domains))
    assert protocol.cells
    assert protocol.title


CAMERAS = [f"cam{i:02d}" for i in range(15)]


def _cameras() -> list[Sample]:
    """Fifteen cameras of three sizes, each with a recapture of its own pictures."""
    real = [
        Sample(f"{name}/{label}-{i}.jpg", label, "none" if label is Label.LIVE else "print", f"{name}-{i}", name)
        for place, name in enumerate(CAMERAS)
        for label in Label
        for i in range(2 + 3 * (place % 3))
    ]
    return real + [
        replace(each, path=f"again/{each.path}", domain="shown", simulated=True, origin=each.domain) for each in real
    ]


@pytest.mark.parametrize("name", ["leave-cameras-out", "leave-cameras-out-with-recaptures"])
def test_every_camera_is_tested_once_and_nothing_of_it_is_learned_from(name):
    protocol = read_protocol(name, _cameras())
    assert [cell.name for cell in protocol.cells] == [f"fold-{i}" for i in range(7)]
    assert (protocol.validation, protocol.threshold) == (0, "cross-fitted")
    assert sorted(camera for cell in protocol.cells for camera in cell.test.domains) == CAMERAS
    for cell in protocol.cells:
        tested, learned = ([s for s in _cameras() if part.holds(s)] for part in (cell.test, cell.train))
        assert {s.domain for s in tested} == set(cell.test.domains)
        assert {s.person[0] for s in learned} == set(CAMERAS) - set(cell.test.domains)
        assert any(s.simulated for s in learned) == name.endswith("recaptures")
    counts = [sum(cell.test.holds(s) for s in _cameras()) for cell in protocol.cells]
    assert max(counts) - min(counts) <= 10  # one middle camera; the cameras come in 4, 10 and 16


@pytest.mark.parametrize(
    "rules", ["validation = 0", 'threshold = "cross-fitted"', 'validation = 0\nthreshold = "cross-fitted"\n'
              'selection = "source-validation"'],
)  # fmt: skip
def test_without_validation_thresholds_are_cross_fitted_and_the_last_step_is_kept(tmp_path, rules):
    path = tmp_path / "own.toml"
    path.write_text(f'format = "despoof-protocols/1"\n[own]\neach = "fold"\nfolds = 3\ndomains = ["*"]\n{rules}\n')
    with pytest.raises(ConfigError, match="cross-fitted"):
        read_protocol(str(path), _cameras())


def test_a_protocol_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'format = "despoof-protocols/1"\n[mine]\nselection = "source-validation"\n'
        'cells = [{ name = "a-to-b", train = ["a"], test = ["b"] }]\n'
    )
    protocol = read_protocol(str(path), [])
    assert (protocol.name, protocol.selection) == ("mine", "source-validation")
    assert [(cell.name, cell.train.domains, cell.target) for cell in protocol.cells] == [("a-to-b", ("a",), "b")]


@pytest.mark.parametrize(
    "text",
    [
        "[mine]",
        'format = "despoof-protocols/1"\n[mine]\ncell = 1',
        'format = "despoof-protocols/1"\n[mine]',
        'format = "despoof-protocols/1"\n[mine]\neach = "day"\ndomains = ["*"]',
        'format = "despoof-protocols/1"\n[mine]\neach = "domain"\ndomains = ["a", "b"]\nwithout = { a = ["dev"] }',
        "no toml",
    ],
)
def test_a_declaration_that_says_too_little_or_too_much_is_refused(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="expected|Expected"):
        read_protocol(str(path), _samples("a", "b"))


def test_what_looks_at_the_target_is_no_rule_of_a_protocol():
    with pytest.raises(ConfigError, match="oracle"):
        Protocol("peek", (), selection="best-on-target")


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(InputError, match="loo-mcio"):
        read_protocol("loo", [])


def test_cells_of_a_file_may_hold_people_out_of_domains_they_share(tmp_path):
    text = 'format = "despoof-protocols/1"\n[known]\nheld_subjects = 0.3\n'
    cell = 'cells = [{ name = "a", train = ["a", "b"], test = ["a"] }]\n'
    path = tmp_path / "known.toml"
    path.write_text(text + cell)
    (found,) = read_protocol(str(path), []).cells
    assert (found.held_subjects, found.train.domains, found.test.domains) == (0.3, ("a", "b"), ("a",))
    path.write_text(text.replace("held_subjects = 0.3\n", "") + cell)
    with pytest.raises(InputError, match="Take the target out"):
        read_protocol(str(path), [])


def test_learned_subjects_must_be_a_share(tmp_path):
    text = 'format = "despoof-protocols/1"\n[few]\neach = "domain"\ndomains = ["*"]\nlearned_subjects = {}\n'
    samples = [Sample(f"{d}.jpg", Label.LIVE, domain=d) for d in "ab"]
    (tmp_path / "few.toml").write_text(text.format(0.5))
    assert read_protocol(str(tmp_path / "few.toml"), samples).learned_subjects == 0.5
    for wrong in (0, 1.5):
        (tmp_path / "few.toml").write_text(text.format(wrong))
        with pytest.raises(ConfigError, match="learned_subjects"):
            read_protocol(str(tmp_path / "few.toml"), samples)
