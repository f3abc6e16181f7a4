"""The correction against scikit-learn's Gaussian process, and what may never happen: a NaN that becomes a number, a
correction of one class, one by another detector's embedding."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from despoof.adaptation import CONSTANT, NEAR, NOISE, TARGET, fit_correction
from despoof.errors import ArtefactError, InputError
from despoof.profile import Correction, logit_of


@pytest.fixture
def faces() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, liveness, labels of 13 live and 4 attacks."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((17, 5)).astype(np.float32) / 2, rng.uniform(0.01, 0.99, 17), np.arange(17) < 13


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_it_is_scikit_learns_posterior_mean_added_to_the_logit(faces, width):
    embedding, liveness, live = faces
    kernel = ConstantKernel(CONSTANT, "fixed") + ConstantKernel(NEAR, "fixed") * RBF((width / 2) ** 0.5, "fixed")
    weight = np.where(live, 17 / 2 / 13, 17 / 2 / 4)  # each class counts half
    process = GaussianProcessRegressor(kernel, alpha=NOISE / weight, optimizer=None)
    process.fit(embedding.astype(float), np.where(live, TARGET, -TARGET) - logit(liveness))
    others = np.random.default_rng(1).standard_normal((30, 5)).astype(np.float32)
    judged = np.linspace(0.001, 0.999, 30)
    found = fit_correction(embedding, liveness, live, width).corrected(judged, others)
    np.testing.assert_allclose(logit(found), logit(judged) + process.predict(others.astype(float)), atol=1e-3)


def test_the_faces_shown_move_towards_their_labels_and_others_of_their_kind_with_them(faces):
    embedding, _, live = faces
    apart = embedding / 4 + np.where(live, 1.0, -1.0)[:, None]
    wrong = np.where(live, 0.3, 0.7)  # a camera on which all are on the wrong side
    found = fit_correction(apart, wrong, live, 1.0).corrected(wrong, apart + 0.05)
    assert ((found >= 0.5) == live).all()


def test_without_a_width_it_is_the_median_squared_distance(faces):
    embedding, liveness, live = faces
    between = [((a - b) ** 2).sum() for i, a in enumerate(embedding) for b in embedding[:i]]
    assert fit_correction(embedding, liveness, live).width == pytest.approx(np.median(between), rel=1e-4)


@pytest.mark.parametrize("of", [True, False])
def test_one_class_is_refused(faces, of):
    embedding, liveness, live = faces
    with pytest.raises(InputError, match="expected both.*despoof calibrate"):
        fit_correction(embedding[live == of], liveness[live == of], live[live == of])


def test_nan_stays_nan_and_certainty_is_finite():
    shift = Correction(((0.0, 0.0),), (1.0,), 2.0, 1.0)
    found = shift.corrected(np.array([np.nan, 0.0, 1.0, 0.5, 0.5]), np.array([[0, 0]] * 4 + [[np.nan, 0]]))
    assert np.isnan(found[[0, 4]]).all()
    np.testing.assert_allclose(found[1:4], expit([-16 + 3, 16 + 3, 3]))
    assert np.abs(logit_of(np.array([0.0, 1.0]))).tolist() == pytest.approx([16, 16])


@pytest.mark.parametrize("embedding", [None, np.zeros((1, 3))])
def test_another_embedding_is_refused(embedding):
    with pytest.raises(ArtefactError, match="embeddings of 2 numbers"):
        Correction(((0.0, 0.0),), (1.0,), 2.0, 1.0).corrected(np.array([0.5]), embedding)
