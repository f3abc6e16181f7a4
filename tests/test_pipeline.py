"""The whole way on tiny random weights: outcomes are typed, deterministic, explained, and nothing that cannot be judged
is ever live; the dangerous failure of a liveness check is to fail open."""

import io
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import despoof
from despoof import pair
from despoof.cli.app import build_app
from despoof.data import portrait
from despoof.data.image import read_image
from despoof.detector.config import TINY
from despoof.detector.network import Detector, load_detector, save_detector
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.faces.quality import QualityLimits
from despoof.generator.config import TINY as TINY_GENERATOR
from despoof.generator.registry import LatentDiffusion, save_generator
from despoof.pipeline import Guard, load
from despoof.verdict import Decision


def write_weights(folder: Path, *, insertion: str = "attention", thresholds: tuple[float, float] = (0.0, 0.0)) -> Path:
    """A folder of tiny random weights; thresholds of zero call every judged face live."""
    torch.manual_seed(0)
    generator = LatentDiffusion(TINY_GENERATOR)
    facts = {
        "thresholds": {"attack_below": thresholds[0], "live_from": thresholds[1]},
        "identity": {"parents": {"generator": generator.name, "start_step": str(generator.start_of(None))}},
    }
    save_detector(folder / "detector.safetensors", Detector(replace(TINY, insertion=insertion), facts))
    save_generator(folder / "generator.safetensors", generator)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def guard(folder: Path) -> Guard:
    return load(folder)


@pytest.fixture(scope="module")
def selfie() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()


def test_verdict_has_everything(guard: Guard, selfie: np.ndarray) -> None:
    verdict = guard.check(selfie)
    assert verdict.decision is Decision.LIVE
    assert verdict.is_live
    assert 0 <= verdict.liveness <= 1
    assert {each.dtype for each in (verdict.face, verdict.counterpart, verdict.cue)} == {np.dtype(np.float32)}
    assert verdict.face.shape == verdict.counterpart.shape == verdict.cue.shape == (3, 64, 64)
    assert {"detect", "identity", "encode", "denoise", "decode", "detector"} <= set(verdict.milliseconds)
    assert set(verdict.weights) == {"generator", "detector"}


@pytest.mark.parametrize(
    ("thresholds", "decision"),
    [((0.0, 0.0), "LIVE"), ((0.0, 1.0), "UNCERTAIN"), ((1.0, 1.0), "ATTACK")],
)
def test_thresholds_decide(tmp_path: Path, selfie: np.ndarray, thresholds: tuple, decision: str) -> None:
    verdict = load(write_weights(tmp_path, thresholds=thresholds)).check(selfie)
    assert verdict.decision.value == decision
    assert verdict.is_live is (decision == "LIVE")


def test_path_bytes_array_and_image_agree(guard: Guard, selfie: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(selfie).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    tensor = torch.from_numpy(selfie)
    sources = (
        selfie, tmp_path / "a.png", str(tmp_path / "a.png"), data, Image.fromarray(selfie), selfie / 255.0,
        io.BytesIO(data), tensor, tensor.permute(2, 0, 1), selfie / 255.0 + 1e-7,
    )  # fmt: skip
    assert len({round(guard.check(source).liveness, 6) for source in sources}) == 1
    with (tmp_path / "a.png").open("rb") as file:
        assert guard.check(file) == guard.check(data)


def test_an_array_in_opencv_order_is_turned_and_a_file_never(guard: Guard, selfie: np.ndarray, tmp_path: Path) -> None:
    wanted, turned = guard.check(selfie), selfie[..., ::-1]
    assert guard.check(turned, bgr=True) == wanted
    assert guard.check_many([turned, torch.from_numpy(turned.copy())], bgr=True) == [wanted, wanted]
    assert guard.check(turned) != wanted
    Image.fromarray(selfie).save(tmp_path / "a.png")
    assert guard.check(tmp_path / "a.png", bgr=True) == wanted


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_is_judged_at_reduced_size_where_its_face_is_large(orientation: int) -> None:
    shipped, photo = load(), Image.fromarray(portrait.portrait()).resize((3400, 3400), Image.Resampling.BICUBIC)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    photo.save(file, "JPEG", quality=92, exif=exif)
    reduced, whole = shipped.check(file.getvalue()), shipped.check(read_image(file.getvalue()))
    assert reduced.liveness != whole.liveness  # it was another reading
    assert reduced.liveness == pytest.approx(whole.liveness, abs=0.02)
    assert (reduced.decision, reduced.reasons) == (whole.decision, whole.reasons)
    np.testing.assert_allclose(reduced.box, whole.box, atol=3400 / 640 * 2)
    assert shipped.check_many([file.getvalue()]) == [reduced]
    exacting = load(limits=QualityLimits(eye_distance=300))  # more than there is at reduced size
    assert exacting.check(file.getvalue()) == exacting.check(read_image(file.getvalue()))


def test_a_large_photo_of_a_small_face_is_read_whole() -> None:
    file = io.BytesIO()
    scene = Image.effect_noise((3400, 3000), 60).convert("RGB")
    scene.paste(Image.fromarray(portrait.portrait()).resize((1000, 1000)), (1200, 900))
    scene.save(file, "JPEG", quality=92)
    verdict = load().check(file.getvalue())
    assert verdict == load().check(read_image(file.getvalue()))
    assert verdict.faces == 1


def test_one_image_is_not_taken_for_several_and_several_not_for_one(guard: Guard, selfie: np.ndarray) -> None:
    singles = (
        "a.jpg",
        Path("a.jpg"),
        b"bytes",
        selfie,
        torch.from_numpy(selfie),
        Image.fromarray(selfie),
        io.BytesIO(),
    )
    for single in singles:
        with pytest.raises(InputError, match="single one with check"):
            guard.check_many(single)
    assert "check_many" in guard.check([selfie, selfie]).reasons[0].sentence
    assert guard.check_many(np.stack([selfie, selfie])) == guard.check_many([selfie, selfie])
    assert guard.check_many([]) == []


def test_a_forked_child_is_told_in_place_of_waiting_for_ever(guard: Guard, selfie: np.ndarray) -> None:
    pickled = pickle.dumps(guard)
    child = os.fork()
    if child == 0:  # nothing may be raised out of this branch
        told = 0
        for act in (lambda: guard.check(selfie), lambda: pickle.loads(pickled).check(selfie)):
            try:
                act()
            except ConfigError as error:
                told += "spawn" in str(error)
        os._exit(0 if told == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_guard_can_be_pickled_and_shared_by_threads(folder: Path, selfie: np.ndarray) -> None:
    guard = load(folder)
    images = [np.roll(selfie, 5 * i, 1) for i in range(6)]
    wanted = guard.check_many(images)
    assert pickle.loads(pickle.dumps(guard)).check_many(images) == wanted
    inside, most, make = [0], [0], guard.engine.generator.counterpart

    def counted(*args: object, **more: object) -> torch.Tensor:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        made = make(*args, **more)
        inside[0] -= 1
        return made

    guard.engine.generator.counterpart = counted
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(guard.check, images)) == wanted
    assert most == [1]


def test_a_device_that_is_not_there_is_named(folder: Path) -> None:
    assert load(folder).engine.device == torch.device("cpu")
    with pytest.raises(ConfigError, match="device 'nowhere' cannot be used"):
        load(folder, device="nowhere")


def test_many_equal_one_by_one_in_any_order(guard: Guard, selfie: np.ndarray) -> None:
    images = [selfie, selfie[:, ::-1], selfie[:400]]
    many = [verdict.liveness for verdict in guard.check_many(images)]
    backwards = [verdict.liveness for verdict in guard.check_many(images[::-1])][::-1]
    assert many == backwards == [guard.check(image).liveness for image in images]


def bad_inputs(selfie: np.ndarray) -> dict[str, object]:
    jpeg = io.BytesIO()
    Image.fromarray(selfie).save(jpeg, "JPEG")
    nan = selfie / 255.0
    nan[0, 0, 0] = np.nan
    face = selfie[0:220, 110:330]
    crowd = np.vstack([np.hstack([face] * 5)] * 2)
    return {
        "nothing": b"",
        "truncated": jpeg.getvalue()[:2000],
        "text": b"this is no picture",
        "missing file": "no-such-file.jpg",
        "folder": ".",
        "one pixel": np.zeros((1, 1, 3), np.uint8),
        "no face": np.full((300, 300, 3), 127, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8),
        "ten faces": crowd,
        "nan": nan,
        "beyond the range": selfie.astype(np.float32),
        "wrong dtype": selfie.astype(np.int32),
        "wrong shape": np.zeros((2, 300, 300, 3), np.uint8),
        "wrong type": 7,
        "black": np.zeros_like(selfie),
        "too dark": (selfie * 0.02).astype(np.uint8),
    }


BAD = ["nothing", "truncated", "text", "missing file", "folder", "one pixel", "no face", "noise", "ten faces", "nan",
       "beyond the range", "wrong dtype", "wrong shape", "wrong type", "black", "too dark"]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_judged_is_no_decision_with_a_reason(guard: Guard, selfie: np.ndarray, name: str) -> None:
    verdict = guard.check(bad_inputs(selfie)[name])
    assert verdict.decision is Decision.NO_DECISION
    assert not verdict.is_live
    assert verdict.liveness is None
    assert len(verdict.reasons[0].sentence) > 20


def test_bad_names_are_all_tested(selfie: np.ndarray) -> None:
    assert list(bad_inputs(selfie)) == BAD


def test_broken_weights_never_open_the_door(folder: Path, selfie: np.ndarray) -> None:
    guard = load(folder)
    with torch.no_grad():
        guard.engine.detector.classify.bias.fill_(torch.nan)
    verdict = guard.check(selfie)
    assert verdict.decision is Decision.NO_DECISION
    assert verdict.reasons[0].name == "broken"


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_broken_generator_gives_no_decision_and_no_exception(folder: Path, selfie: np.ndarray, part: str) -> None:
    guard = load(folder)
    with torch.no_grad():
        for parameter in getattr(guard.engine.generator.autoencoder, part).parameters():
            parameter.fill_(torch.nan)
    verdict = guard.check(selfie)
    assert (verdict.decision, verdict.liveness, verdict.reasons[0].name) == (Decision.NO_DECISION, None, "broken")


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_a_broken_counterpart_costs_its_own_face_alone(
    folder: Path, selfie: np.ndarray, monkeypatch: pytest.MonkeyPatch, broken: float
) -> None:
    guard, images = load(folder), [selfie, selfie[:, ::-1], selfie[:400]]
    wanted = [verdict.liveness for verdict in guard.check_many(images)]
    make = guard.engine.generator.counterpart

    def second_breaks(faces: torch.Tensor, **more: object) -> torch.Tensor:
        made = make(faces, **more)
        made[1, 0, 5, 5] = broken
        return made

    monkeypatch.setattr(guard.engine.generator, "counterpart", second_breaks)
    found = guard.check_many(images)
    assert [verdict.decision for verdict in found] == ["LIVE", "NO_DECISION", "LIVE"]
    assert found[1].reasons[0].name == "broken"
    assert [found[0].liveness, found[2].liveness] == [wanted[0], wanted[2]]


@pytest.mark.parametrize("missing", ["generator.safetensors", "detector.safetensors"])
def test_missing_weights_are_an_error_at_load(tmp_path: Path, missing: str) -> None:
    (write_weights(tmp_path) / missing).unlink()
    with pytest.raises(ArtefactError, match="missing"):
        load(tmp_path)


def test_truncated_weights_are_an_error_at_load(tmp_path: Path) -> None:
    path = write_weights(tmp_path) / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ArtefactError, match="truncated"):
        load(tmp_path)


def test_weights_without_thresholds_are_refused(tmp_path: Path) -> None:
    save_detector(tmp_path / "detector.safetensors", Detector(replace(TINY, insertion="none")))
    with pytest.raises(ArtefactError, match="thresholds"):
        load(tmp_path)


def retell(folder: Path, **parents: str) -> None:
    """Write the folder's detector again with these parents in its facts."""
    detector = load_detector(folder / "detector.safetensors")
    save_detector(folder / "detector.safetensors", detector, facts={"identity": {"parents": parents}})


def test_a_detector_of_another_generator_is_refused_by_load_and_by_pack(tmp_path: Path) -> None:
    write_weights(tmp_path)
    generator = LatentDiffusion(TINY_GENERATOR)  # of the same config and other weights
    save_generator(tmp_path / "generator.safetensors", generator)
    files = [str(tmp_path / f"{part}.safetensors") for part in ("generator", "detector")]
    pack = ["weights", "pack", *files, str(tmp_path / "out")]
    for act in (lambda: load(tmp_path), lambda: call(*pack), lambda: call(*pack, "--unbound")):
        with pytest.raises(ArtefactError, match=f"generator [0-9a-f]+; .* has {generator.name}"):
            act()
    retell(tmp_path, generator=generator.name, start_step="401")
    with pytest.raises(ArtefactError, match="start_step 401"):
        load(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_detector_that_names_no_generator_is_refused_until_somebody_vouches(
    tmp_path: Path, selfie: np.ndarray
) -> None:
    write_weights(tmp_path)
    retell(tmp_path)
    files = [str(tmp_path / f"{part}.safetensors") for part in ("generator", "detector")]
    for act in (lambda: load(tmp_path), lambda: call("weights", "pack", *files, str(tmp_path / "out"))):
        with pytest.raises(ArtefactError, match="despoof weights pack .* --unbound"):
            act()
    call("weights", "pack", *files, str(tmp_path / "out"), "--unbound")
    assert load(tmp_path / "out").check(selfie).decision is Decision.LIVE


def test_a_packed_pair_is_rounded_and_still_a_pair(tmp_path: Path, selfie: np.ndarray) -> None:
    write_weights(tmp_path)
    call("weights", "pack", *(str(tmp_path / f"{part}.safetensors") for part in ("generator", "detector")),
         str(tmp_path / "out"))  # fmt: skip
    whole, packed = load(tmp_path), load(tmp_path / "out")
    assert whole.engine.generator.name != packed.engine.generator.name
    assert packed.check(selfie).liveness == pytest.approx(whole.check(selfie).liveness, abs=0.01)


def call(*tokens: str) -> object:
    return build_app()(list(tokens), result_action="return_value")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ArtefactError, match="default"):
        load("huge")


def test_without_a_cue_no_generator_is_needed(tmp_path: Path, selfie: np.ndarray) -> None:
    (write_weights(tmp_path, insertion="none") / "generator.safetensors").unlink()
    retell(tmp_path)  # of no generator
    guard = load(tmp_path)
    verdict = guard.check(selfie)
    assert verdict.counterpart is None
    assert guard.with_counterpart(verdict) is verdict
    assert verdict.save_explanation(tmp_path / "why.png").exists()


def test_without_a_cue_the_generator_makes_the_picture_alone_and_is_read_when_asked_for(
    tmp_path: Path, selfie: np.ndarray, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(tmp_path, insertion="none")
    plain, read = load(tmp_path), []
    monkeypatch.setattr(pair, "require_pair", lambda *given: read.append(given))
    verdict = plain.check(selfie)
    assert (verdict.counterpart, verdict.cue, set(verdict.weights)) == (None, None, {"detector"})
    assert plain.with_counterpart(plain.check(np.zeros_like(selfie))).counterpart is None
    assert read == []
    shown = pickle.loads(pickle.dumps(plain)).with_counterpart(verdict)
    again = plain.with_counterpart(plain.with_counterpart(verdict))
    assert len(read) == 2  # once by each guard
    judged = guard.check(selfie)  # by a detector with cue and the same generator
    for each in (shown, again):
        assert each == verdict
        np.testing.assert_allclose(each.counterpart, judged.counterpart, atol=1e-5)
        np.testing.assert_allclose(each.cue, judged.cue, atol=1e-4)
    assert guard.with_counterpart(judged) is judged


def test_a_picture_without_its_generator_is_an_error_and_the_verdict_none(
    tmp_path: Path, selfie: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    (write_weights(tmp_path, insertion="none") / "generator.safetensors").unlink()
    Image.fromarray(selfie).save(tmp_path / "a.png")
    given = ["check", str(tmp_path / "a.png"), "--weights", str(tmp_path)]
    with pytest.raises(SystemExit, match="0"):
        call(*given)
    assert "LIVE" in capsys.readouterr().out
    with pytest.raises(ArtefactError, match=r"generator.safetensors is missing; .* makes the pictures"):
        call(*given, "--out", str(tmp_path / "out"))
    save_generator(tmp_path / "generator.safetensors", LatentDiffusion(TINY_GENERATOR))  # another one
    with pytest.raises(ArtefactError, match="belongs to counterparts of generator"):
        load(tmp_path).engine.generator  # noqa: B018


def test_packing_a_detector_without_cue_names_its_picture_maker_if_there_is_one(
    tmp_path: Path, selfie: np.ndarray
) -> None:
    write_weights(tmp_path, insertion="none")
    retell(tmp_path)  # of no generator, as it is trained
    generator, detector = (str(tmp_path / f"{part}.safetensors") for part in ("generator", "detector"))
    call("weights", "pack", generator, detector, str(tmp_path / "both"))
    guard = load(tmp_path / "both")
    assert guard.engine.detector.facts["parents"]["generator"] == guard.engine.generator.name
    assert guard.with_counterpart(guard.check(selfie)).cue is not None
    call("weights", "pack", "none", detector, str(tmp_path / "alone"))
    assert load(tmp_path / "alone").engine.generator is None
    write_weights(tmp_path)
    with pytest.raises(ConfigError, match="takes a cue"):
        call("weights", "pack", "none", detector, str(tmp_path / "third"))


def test_explanation_shows_three_panels(guard: Guard, selfie: np.ndarray, tmp_path: Path) -> None:
    verdict = guard.check(selfie)
    picture = Image.open(verdict.save_explanation(tmp_path / "why.png"))
    assert picture.width == 3 * 256
    face = np.asarray(picture)[26:282, :256]
    shown = np.asarray(Image.fromarray(face).resize((64, 64), Image.Resampling.BOX), float)
    expected = (verdict.face.transpose(1, 2, 0) + 1) * 127.5
    assert np.abs(shown - expected).mean() < 6


def test_row_for_logs_holds_no_pixels(guard: Guard, selfie: np.ndarray) -> None:
    row = guard.check(selfie).as_row()
    assert len(str(row)) < 2000
    assert {"decision", "liveness", "reasons", "weights"} <= set(row)


def test_verdicts_are_compared_and_kept_but_never_taken_for_a_truth_value(guard: Guard, selfie: np.ndarray) -> None:
    first, second = guard.check(selfie), guard.check(selfie)
    assert first == second
    assert len({first, second}) == 1
    assert first != replace(first, liveness=first.liveness / 2)
    with pytest.raises(TypeError, match="is_live"):
        bool(first)


def test_a_verdict_of_a_batch_pickles_with_its_own_pictures_alone(guard: Guard, selfie: np.ndarray) -> None:
    alone, of_many = (len(pickle.dumps(guard.check_many([selfie] * count)[0])) for count in (1, 16))
    assert of_many == pytest.approx(alone, rel=0.02)


def test_importing_the_pipeline_leaves_torch_alone(tmp_path: Path) -> None:
    code = (
        "import despoof.pipeline, despoof.verdict, sys; print({'torch', 'diffusers', 'onnxruntime'} & set(sys.modules))"
    )
    env = {"PYTHONPATH": str(Path(despoof.__file__).parents[1]), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_public_names_resolve() -> None:
    assert despoof.load is load
    assert all(getattr(despoof, name) for name in despoof.__all__)


def test_the_explanation_shows_where_the_detector_looked(guard: Guard, selfie: np.ndarray, tmp_path: Path) -> None:
    verdict = guard.check(selfie)
    looked = guard.attention(verdict)
    assert looked.sum() == pytest.approx(1, abs=1e-4)
    plain, more = (np.array(Image.open(verdict.save_explanation(tmp_path / "e.png", each))) for each in (None, looked))
    assert more.shape[1] == plain.shape[1] // 3 * 4
    assert (more[26:282, : plain.shape[1]] == plain[26:282]).all()
    panel = more[26:282, plain.shape[1] :, 0].astype(float)
    side = looked.shape[0]
    brightest = np.unravel_index(int(looked.argmax()), looked.shape)
    place = np.unravel_index(int(panel.argmax()), panel.shape)
    assert max(abs(place[i] // (256 // side) - brightest[i]) for i in (0, 1)) <= 1
    assert guard.attention(guard.check(np.zeros((300, 300, 3), np.uint8))) is None
