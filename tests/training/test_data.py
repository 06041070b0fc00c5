import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.augment import shifted
from training.data import CALIBRATION_ITEMS, TOYS, generator, load_images, load_points


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_images_are_split_so_that_the_last_training_items_are_held_back(name, data_dir):
    images = load_images(name, data_dir)
    assert images.train_images.shape == (60_000 - CALIBRATION_ITEMS, 28, 28)
    assert images.held_images.shape == (CALIBRATION_ITEMS, 28, 28)
    assert images.test_images.shape == (10_000, 28, 28)
    assert images.train_images.min() == 0
    assert images.train_images.max() == 1
    pixels = np.concatenate([images.train_images, images.held_images])
    assert abs(pixels.mean() - images.mean) < 1e-3
    assert abs(pixels.std() - images.std) < 1e-3


def test_an_altered_data_file_is_refused_by_name(tmp_path):
    (tmp_path / "mnist").mkdir()
    for file in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        kind = "idx3" if file.endswith("images") else "idx1"
        (tmp_path / "mnist" / f"{file}-{kind}-ubyte.gz").write_bytes(gzip.compress(b"no images"))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz: sha256"):
        load_images("mnist", tmp_path)


def test_a_missing_data_file_is_named_with_a_way_out(tmp_path):
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz.*leave --data-dir out"):
        load_images("mnist", tmp_path)


def test_digits_need_no_download_and_their_splits_are_disjoint():
    digits = load_images("digits")
    splits = [digits.train_images, digits.held_images, digits.test_images]
    assert sum(map(len, splits)) == 1797
    assert digits.train_images.shape[1:] == (8, 8)


@pytest.mark.parametrize("toy", list(TOYS))
def test_a_toy_batch_is_a_function_of_seed_and_step(toy):
    points = load_points(toy, seed=3)
    first, again = points.batch(3, 17, 64), points.batch(3, 17, 64)
    assert (first == again).all()
    assert (points.batch(3, 18, 64) != first).any()
    assert not np.intersect1d(points.held[:, 0], points.test[:, 0]).size


def test_checkerboard_points_lie_on_eight_dark_squares():
    points = TOYS["checkerboard"](generator(1), 20_000)
    squares = np.floor((points + 4) / 2).astype(int)
    assert squares.min() == 0
    assert squares.max() == 3
    assert ((squares.sum(1) % 2) == 0).all()
    counts = np.unique(squares, axis=0, return_counts=True)[1]
    assert len(counts) == 8
    assert counts.min() > 2_000


def test_shifting_moves_pixels_by_at_most_the_reach_and_fills_with_zeros():
    image = np.zeros((200, 9, 9), np.float32)
    image[:, 4, 4] = 1
    where = np.argwhere(shifted(image, generator(2), reach=2))
    assert (where[:, 0] == np.arange(200)).all()
    assert set(where[:, 1]) == {2, 3, 4, 5, 6}
    assert set(where[:, 2]) == {2, 3, 4, 5, 6}


def test_points_from_a_file_are_deduplicated_before_they_are_split(tmp_path):
    rows = generator(4).standard_normal((400, 3))
    np.savetxt(tmp_path / "table.csv", np.concatenate([rows, rows]), delimiter=",")
    points = load_points(str(tmp_path / "table.csv"), seed=0)
    assert len(points.train) + len(points.held) + len(points.test) == 400
    assert points.sha256


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((100, 2)), "at least 20 finite rows|20 distinct rows"),
        (np.diag(np.full(50, np.inf)), "row 0, column 0, counted from 0, is inf"),
        (np.full((100, 2), np.nan), "finite"),
        (np.zeros(100), r"\[item, dim\]"),
        (np.zeros((100, 0)), r"\[item, dim\]"),
        (np.zeros((100, 2), complex), "expected real numbers, got complex128"),
        (np.full((100, 2), "seven"), "expected real numbers, got <U5"),
        (np.full((100, 2), object()), "is no table of numbers"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(tmp_path, content, message):
    np.save(tmp_path / "table.npy", content)
    with pytest.raises(ValueError, match=message):
        load_points(str(tmp_path / "table.npy"), seed=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.npy", b""),
        ("cut.npy", None),
        ("text.npy", b"no array at all"),
        ("words.csv", b"a,b\n" * 50),
        ("ragged.csv", b"1,2\n3\n" * 50),
        ("bytes.csv", bytes(range(128, 256))),
        ("empty.csv", b""),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, rng, name, content):
    np.save(tmp_path / "whole.npy", rng.standard_normal((50, 2)))
    (tmp_path / name).write_bytes((tmp_path / "whole.npy").read_bytes()[:-9] if content is None else content)
    with pytest.raises(ValueError, match=rf"^{tmp_path / name}: (is no table of numbers|expected at least 20 rows)"):
        load_points(str(tmp_path / name), seed=0)


def test_an_archive_of_arrays_is_no_table(tmp_path, rng):
    np.savez(tmp_path / "many.npz", rng.standard_normal((50, 2)))
    (tmp_path / "many.npz").rename(tmp_path / "many.npy")
    with pytest.raises(ValueError, match="expected real numbers, got an archive"):
        load_points(str(tmp_path / "many.npy"), seed=0)


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(ValueError, match="two-moons"):
        load_points("three-moons", seed=0)
    with pytest.raises(ValueError, match="fashion-mnist"):
        load_images("cifar")


@given(distinct=st.integers(2, 19), copies=st.integers(2, 30))
def test_repeated_rows_do_not_make_a_table_large_enough(distinct, copies, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "table.npy"
    np.save(path, np.tile(np.random.default_rng(distinct).standard_normal((distinct, 2)), (copies + 10, 1)))
    with pytest.raises(ValueError, match=rf"table.npy: needs at least 20 distinct rows, has {distinct}"):
        load_points(str(path), seed=0)


def test_twenty_distinct_rows_are_enough_for_every_split(tmp_path, rng):
    np.save(tmp_path / "table.npy", rng.standard_normal((20, 2)))
    points = load_points(str(tmp_path / "table.npy"), seed=0)
    assert min(len(points.train), len(points.held), len(points.test)) > 0
