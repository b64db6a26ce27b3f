import numpy as np
import pytest

from sam2v.masks.draw import colour_of, draw_masks


def test_ids_keep_their_colour_and_neighbours_differ() -> None:
    colours = np.array([colour_of(k) for k in range(1, 41)])
    assert colour_of(3) == colour_of(3)
    for k, colour in enumerate(colours):
        others = colours[max(0, k - 7) : k]
        assert (np.abs(others - colour).sum(1) > 60).all()
    assert len({tuple(colour) for colour in colours}) == 40


def test_only_the_object_changes() -> None:
    frame = np.full((60, 80, 3), 100, np.uint8)
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:30, 10:40] = True
    masks[1, 35:55, 50:75] = True
    picture = draw_masks(frame, masks, [1, 2], labels=False)
    assert (frame == 100).all()
    assert (picture[~masks.any(0)] == 100).all()
    for mask, obj_id in zip(masks, [1, 2], strict=True):
        colour = np.array(colour_of(obj_id))
        inside = picture[mask].astype(int)
        assert (np.abs(inside - colour).sum(1) < np.abs(100 - colour).sum()).all()
    assert (picture[10, 10:40] == colour_of(1)).all()  # the contour has the full colour
    assert not (picture[20, 25] == colour_of(1)).all()


def test_alpha_is_the_share_of_the_colour() -> None:
    frame, mask = np.full((8, 8, 3), 100, np.uint8), np.ones((1, 8, 8), bool)
    for alpha in (0.0, 0.5, 1.0):
        picture = draw_masks(frame, mask, [5], alpha=alpha, contour=False, labels=False)
        expected = 100 * (1 - alpha) + np.array(colour_of(5)) * alpha
        assert np.abs(picture - expected).max() <= 1


@pytest.mark.parametrize("where", [(0, 0), (39, 49), (0, 49), (20, 25)])
def test_labels_stay_in_the_picture_even_for_one_pixel(where: tuple[int, int]) -> None:
    frame, mask = np.zeros((40, 50, 3), np.uint8), np.zeros((1, 40, 50), bool)
    mask[0][where] = True
    with_label = draw_masks(frame, mask, [12])
    plate = (with_label == colour_of(12)).all(2)
    assert plate.sum() > 30  # the whole plate lies inside, wherever the object is
    assert with_label.shape == frame.shape


def test_no_objects_and_empty_masks() -> None:
    frame = np.full((10, 12, 3), 7, np.uint8)
    assert (draw_masks(frame, np.zeros((0, 10, 12), bool), []) == 7).all()
    assert (draw_masks(frame, np.zeros((1, 10, 12), bool), [1]) == 7).all()


def test_sizes_must_fit() -> None:
    with pytest.raises(ValueError, match="10 x 12"):
        draw_masks(np.zeros((10, 12, 3), np.uint8), np.zeros((1, 10, 13), bool), [1])
    with pytest.raises(ValueError, match="N = 2"):
        draw_masks(np.zeros((10, 12, 3), np.uint8), np.zeros((1, 10, 12), bool), [1, 2])


def test_frames_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"frame must be H x W x 3 uint8, got .* of float64"):
        draw_masks(np.zeros((4, 5, 3)), np.ones((1, 4, 5), bool), [1])
