"""Calibration data in every form, and what is wrong with it said plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rknn_ep.errors import CalibrationError
from rknn_ep.quantization.pictures import load_picture
from rknn_ep.quantization.samples import open_samples
from rknn_ep.records import TensorFacts

IMAGE = TensorFacts("image", (1, 3, 8, 10), "FLOAT")
IDS = TensorFacts("ids", (1, 4), "INT64")


def paint(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (20, 16)) -> Path:
    Image.new("RGB", size, color).save(path)
    return path


def test_a_folder_of_pictures_in_the_order_of_their_names(tmp_path: Path) -> None:
    for index, name in enumerate(["b.png", "a.jpg", "c.bmp"]):
        paint(tmp_path / name, (index * 50, 0, 0))
    (tmp_path / "notes.txt").write_text("not a picture")
    samples = open_samples(tmp_path, [IMAGE])
    assert len(samples) == 3
    reds = [sample["image"][0, 0, 0, 0] for sample in samples]
    np.testing.assert_allclose(reds, [50, 0, 100], atol=2)  # JPEG is not exact
    assert [sample["image"][0, 0, 0, 0] for sample in samples] == reds  # again from the start
    assert all(sample["image"].dtype == np.float32 and sample["image"].shape == (1, 3, 8, 10) for sample in samples)


def test_mean_std_and_colour_order(tmp_path: Path) -> None:
    path = paint(tmp_path / "a.png", (10, 20, 30))
    rgb = load_picture(path, "image", (1, 3, 8, 10), mean=(10, 10, 10), std=(1, 2, 4))
    np.testing.assert_allclose(rgb[0, :, 0, 0], [0, 5, 5])
    bgr = load_picture(path, "image", (1, 3, 8, 10), mean=(10, 10, 10), std=(1, 2, 4), color="bgr")
    np.testing.assert_allclose(bgr[0, :, 0, 0], [20, 5, 0])
    last = load_picture(path, "image", (1, 8, 10, 3))
    np.testing.assert_allclose(last[0, 0, 0], [10, 20, 30])
    grey = load_picture(path, "image", (1, 1, 8, 10), mean=(8,), std=(2,))
    np.testing.assert_allclose(grey[0, 0, 0, 0], (round(0.299 * 10 + 0.587 * 20 + 0.114 * 30) - 8) / 2, atol=0.5)


def test_the_three_ways_to_a_size(tmp_path: Path) -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 200  # a bright block in the middle
    Image.fromarray(wide).save(tmp_path / "wide.png")
    taken = {
        resize: load_picture(tmp_path / "wide.png", "image", (1, 3, 20, 20), resize=resize)[0, 0]
        for resize in ("stretch", "crop", "pad")
    }
    assert taken["stretch"][10, 10] == 200 and taken["stretch"][10, 2] == 0
    assert (taken["crop"][10] == 200).sum() >= 17  # the middle 10 of 40 columns fill the square
    assert taken["pad"][0, 0] == taken["pad"][19, 19] == 114 and taken["pad"][10, 10] == 200 and taken["pad"][10, 1] == 0


def test_orientation_and_transparency(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 10, 10))
    exif = picture.getexif()
    exif[0x0112] = 3  # turned by 180 degrees
    picture.save(tmp_path / "turned.png", exif=exif)
    turned = load_picture(tmp_path / "turned.png", "image", (1, 3, 10, 20))
    assert turned[0, 0, 5, 2] == 0 and turned[0, 0, 5, 17] == 255
    Image.new("RGBA", (4, 4), (9, 8, 7, 0)).save(tmp_path / "clear.png")
    assert load_picture(tmp_path / "clear.png", "image", (3, 4, 4))[:, 0, 0].tolist() == [9, 8, 7]


def test_npz_with_one_array_per_input(tmp_path: Path) -> None:
    images = np.arange(3 * 240, dtype=np.float32).reshape(3, 1, 3, 8, 10)
    ids = np.arange(12, dtype=np.int32).reshape(3, 4)  # the batch axis counts; int32 becomes int64
    np.savez(tmp_path / "data.npz", image=images, ids=ids, labels=np.zeros(3))
    samples = open_samples(tmp_path / "data.npz", [IMAGE, IDS])
    assert len(samples) == 3
    for index, sample in enumerate(samples):
        np.testing.assert_array_equal(sample["image"], images[index])
        np.testing.assert_array_equal(sample["ids"], ids[index : index + 1])
        assert sample["ids"].dtype == np.int64
    assert any("labels" in text for text in samples.advice)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_streams_whatever_way_it_was_written(tmp_path: Path, save: object, order: str) -> None:
    images = np.asarray(np.random.default_rng(0).normal(size=(5, 3, 8, 10)), np.float64, order=order)
    save(tmp_path / "data.npz", image=images)  # type: ignore[operator]
    got = [sample["image"] for sample in open_samples(tmp_path / "data.npz", [IMAGE])]
    np.testing.assert_array_equal(np.concatenate(got), images.astype(np.float32))


def test_npy_and_a_list_of_files(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(4, 3, 8, 10)).astype(np.float32)
    np.save(tmp_path / "all.npy", images)
    assert len(open_samples(tmp_path / "all.npy", [IMAGE])) == 4
    np.save(tmp_path / "one.npy", images[:1])
    np.save(tmp_path / "ids.npy", np.array([[1, 2, 3, 4]]))
    paint(tmp_path / "p.png", (1, 2, 3))
    (tmp_path / "list.txt").write_text("# image ids\np.png ids.npy\n\none.npy ids.npy\n")
    first, second = open_samples(tmp_path / "list.txt", [IMAGE, IDS])
    assert first["image"][0, :, 0, 0].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(second["image"], images[:1])
    assert first["ids"].tolist() == [[1, 2, 3, 4]]


def test_names_with_spaces_in_a_list_for_one_input(tmp_path: Path) -> None:
    paint(tmp_path / "my cat.png", (1, 2, 3))
    (tmp_path / "list.txt").write_text("my cat.png\n")
    assert len(list(open_samples(tmp_path / "list.txt", [IMAGE]))) == 1


def test_a_batch_takes_as_many_pictures_round_and_round(tmp_path: Path) -> None:
    for index in range(3):
        paint(tmp_path / f"{index}.png", (index, 0, 0))
    samples = open_samples(tmp_path, [TensorFacts("image", (2, 3, 8, 10), "FLOAT")])
    assert [sample["image"][:, 0, 0, 0].tolist() for sample in samples] == [[0, 1], [2, 0]]


@pytest.mark.parametrize(("count", "words"), [(19, "few"), (20, None), (200, None), (201, "long")])
def test_advice_on_the_number_of_samples(tmp_path: Path, count: int, words: str | None) -> None:
    np.save(tmp_path / "x.npy", np.zeros((count, 4), np.int64))
    advice = open_samples(tmp_path / "x.npy", [IDS]).advice
    assert (words is None and not advice) or words in advice[0]


def problem(path: Path, *inputs: TensorFacts, **options: object) -> str:
    with pytest.raises(CalibrationError) as caught:
        list(open_samples(path, inputs, **options))  # type: ignore[arg-type]
    return str(caught.value)


def test_missing_and_empty(tmp_path: Path) -> None:
    assert "no calibration data at" in problem(tmp_path / "nowhere", IMAGE)
    assert "no pictures in" in problem(tmp_path, IMAGE)
    (tmp_path / "list.txt").write_text("\n# nothing\n")
    assert "names no files" in problem(tmp_path / "list.txt", IMAGE)
    (tmp_path / "list.txt").write_text("gone.png\n")
    assert "gone.png, which does not exist" in problem(tmp_path / "list.txt", IMAGE)
    (tmp_path / "list.txt").write_text("a.png\n")
    assert "line 1 names 1 files, and the model has 2 inputs: image, ids" in problem(tmp_path / "list.txt", IMAGE, IDS)
    np.save(tmp_path / "x.npy", np.zeros((0, 4), np.int64))
    assert "no samples for input 'ids'" in problem(tmp_path / "x.npy", IDS)


def test_a_dynamic_shape_names_the_option(tmp_path: Path) -> None:
    assert "input_shapes" in problem(tmp_path, TensorFacts("image", None, "FLOAT"))


def test_one_array_cannot_feed_two_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 4), np.int64))
    assert "the model has 2: image, ids" in problem(tmp_path / "x.npy", IMAGE, IDS)


def test_shapes_say_which_input_what_was_expected_and_what_was_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", image=np.zeros((5, 3, 9, 10), np.float32))
    text = problem(tmp_path / "x.npz", IMAGE)
    assert "input 'image' expects arrays of shape (1, 3, 8, 10)" in text and "found (5, 3, 9, 10)" in text
    text = problem(tmp_path / "x.npz", IMAGE, IDS)
    assert "no array for input 'ids'" in text and "(samples, 1, 4)" in text and "image (5, 3, 9, 10)" in text
    np.savez(tmp_path / "x.npz", image=np.zeros((5, 3, 8, 10), np.float32), ids=np.zeros((4, 4), np.int64))
    assert "differ in their number of samples" in problem(tmp_path / "x.npz", IMAGE, IDS)
    np.save(tmp_path / "one.npy", np.zeros((2, 2), np.float32))
    (tmp_path / "list.txt").write_text("one.npy\n")
    assert "expects shape (1, 3, 8, 10), found (2, 2)" in problem(tmp_path / "list.txt", IMAGE)


def test_types_and_values(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 4), np.float32))
    assert "input 'ids' expects int64, found float32" in problem(tmp_path / "x.npy", IDS)
    values = np.zeros((2, 3, 8, 10), np.float32)
    values[1, 0, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", values)
    assert "x.npy sample 1: input 'image' holds NaN or infinity" in problem(tmp_path / "x.npy", IMAGE)
    np.save(tmp_path / "x.npy", np.array([{"no": "objects"}]), allow_pickle=True)
    assert "cannot be read" in problem(tmp_path / "x.npy", IMAGE) or "not an .npy" in problem(tmp_path / "x.npy", IMAGE)


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.png", "x.txt"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x93NUMPY\x01\x00garbage\xff\xfe" * 3)
    path = tmp_path if name == "x.png" else tmp_path / name
    assert name in problem(path, IMAGE)


def test_a_cut_npz_is_an_error_of_ours(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", image=np.random.default_rng(0).normal(size=(20, 3, 8, 10)).astype(np.float32))
    whole = (tmp_path / "x.npz").read_bytes()
    for size in range(0, len(whole), 997):
        (tmp_path / "x.npz").write_bytes(whole[:size])
        problem(tmp_path / "x.npz", IMAGE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": (1, 2)}, "mean has 2 numbers, and input 'image' has 3 channels"),
        ({"std": (0,)}, "std must be above zero"),
        ({"color": "gray"}, "color=gray gives 1"),
    ],
)
def test_preprocessing_that_does_not_fit(tmp_path: Path, options: dict[str, object], words: str) -> None:
    paint(tmp_path / "a.png", (1, 2, 3))
    assert words in problem(tmp_path, IMAGE, **options)


def test_pictures_for_an_input_that_is_none(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", (1, 2, 3))
    text = problem(tmp_path, TensorFacts("features", (1, 5, 8, 10), "FLOAT"))
    assert "input 'features' has shape (1, 5, 8, 10), which no picture fits" in text and ".npz" in text
