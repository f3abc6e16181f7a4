"""The simulated camera against closed forms: level, noise, geometry, lens; a biased one would leak the medium."""

import cv2
import numpy as np
import pytest
from skimage.color import lab2rgb

from despoof.data.simulation.camera import (
    Camera,
    blur,
    develop,
    draw_camera,
    homography,
    look,
    mtf,
    picture_shape,
    plane_points,
    sense,
    to_code,
    to_linear,
)


def test_linear_light_against_the_lab_definition():
    # L* = 50 reflects 18.42 % of white; sRGB code 118.9
    assert to_linear(np.uint8([[0, 119, 255]]))[0] == pytest.approx([0, 0.1845, 1], abs=2e-3)
    grey = lab2rgb(np.array([[[50.0, 0, 0]]]))[0, 0, 0]
    assert to_code(np.array([0.18418]))[0] == pytest.approx(grey, abs=1e-3)
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal((to_code(to_linear(codes)) * 255).round(), codes)


def test_noise_variance_is_linear_in_the_signal():
    camera = Camera(shot_noise=2e-3, read_noise=1e-4)
    levels = np.array([0.1, 0.2, 0.4, 0.6])
    patch = [sense(np.full((256, 256, 3), v, np.float32), camera, seed=i) for i, v in enumerate(levels)]
    slope, intercept = np.polyfit(levels, [p.var() for p in patch], 1)
    assert slope == pytest.approx(2e-3, rel=0.03)
    assert intercept == pytest.approx(1e-4, rel=0.2)
    assert [p.mean() for p in patch] == pytest.approx(levels, rel=2e-3)


def test_metering_brings_the_mean_to_its_target():
    scene = np.full((64, 64, 3), 0.05, np.float32)
    assert sense(scene, Camera(metering=1.0, target=0.2), 0).mean() == pytest.approx(0.2, rel=1e-3)
    assert sense(scene, Camera(metering=0.5, target=0.2), 0).mean() == pytest.approx(0.1, rel=1e-3)


def test_full_white_balance_takes_the_light_out():
    light = (1.3, 1.0, 0.7)
    signal = np.full((32, 32, 3), 0.2, np.float32) * np.float32(light)
    balanced = develop(signal, Camera(light=light, white_balance=1.0))
    assert np.ptp(balanced[16, 16].astype(int)) <= 1
    assert np.ptp(develop(signal, Camera(light=light, white_balance=0.5))[16, 16].astype(int)) > 10


def test_a_straight_camera_changes_no_pixel(portrait):
    plane = to_linear(portrait)
    np.testing.assert_allclose(look(plane, Camera(side=512)), plane, atol=1e-5)


def test_tilt_against_hand_projected_corners():
    camera = Camera(side=200, distance=2.0, yaw=30)
    # the right edge a = 1/2 goes back by sin(30)/2 = 1/4: depth 2 - 1/4 with z' = -a sin(yaw)
    depth = 2.0 - 0.25
    x = 400 * np.cos(np.radians(30)) / 2 / depth + 99.5
    y = 400 * 0.5 / depth + 99.5
    corner = homography(camera, (200, 200)) @ (0.5, 0.5, 1)
    assert corner[:2] / corner[2] == pytest.approx([x, y])


def test_plane_points_invert_the_homography():
    camera = draw_camera(5)
    points = plane_points(camera, (100, 80))
    height, width = picture_shape(camera, (100, 80))
    assert points.shape == (height, width, 2)
    back = homography(camera, (100, 80)) @ (*points[17, 23], 1)
    assert back[:2] / back[2] == pytest.approx([23, 17])


def test_look_puts_the_plane_where_the_homography_says():
    camera = Camera(side=300, distance=1.6, yaw=12, pitch=-9, roll=7)
    plane = np.zeros((300, 300, 1), np.float32)
    cv2.circle(plane, (210, 90), 5, 1.0, -1)
    seen = look(plane, camera)
    y, x = np.mgrid[:300, :300]
    centre = [(seen * x).sum() / seen.sum(), (seen * y).sum() / seen.sum()]
    expected = homography(camera, plane.shape) @ ((210 - 149.5) / 300, (90 - 149.5) / 300, 1)
    assert centre == pytest.approx(expected[:2] / expected[2], abs=0.1)


def test_lens_halves_contrast_where_the_mtf_says():
    camera = Camera(lens_sigma=0.9, photosite=0.0)
    half = 0.1874 / 0.9
    assert mtf(np.array([half, 0.0]), camera) == pytest.approx(0.5)
    wave = np.repeat(np.cos(2 * np.pi * half * np.arange(2048))[None], 8, 0).astype(np.float32)
    middle = blur(wave, camera)[4, 200:-200]
    assert np.sqrt(2 * (middle**2).mean()) == pytest.approx(0.5, abs=0.02)


def test_photosites_cannot_see_their_own_period():
    assert mtf(np.array([1.0, 0.0]), Camera(photosite=1.0)) == pytest.approx(0, abs=1e-12)


def test_cameras_are_drawn_from_the_seed_alone_and_differ():
    assert draw_camera(3) == draw_camera(3)
    assert len({draw_camera(seed).lens_sigma for seed in range(50)}) == 50
