"""Data sets: images with their splits, toy densities drawn afresh, and points from a file.

Every random choice is a function of (seed, where in the run), so a resumed run sees what an unbroken one sees.
"""

import gzip
import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from node_model.manifest import PictureSpec

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CALIBRATION_ITEMS = 5_000
"""The last items of a training set: held back from training, used to select and to calibrate."""


def generator(*key: int) -> np.random.Generator:
    """An independent stream for each key of up to four integers, the first being the seed.

    A key's trailing zeros do not count: numpy fills a key up with them.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


@dataclass(frozen=True)
class ImageSet:
    """Grey images in 0..1 and their labels, split into training, held-back and test items.

    `picture`: how they were made from pictures, as a model trained on them must have its own made.

    Shapes: images [item, height, width]; labels [item].
    """

    name: str
    train_images: Floats
    train_labels: Ints
    held_images: Floats
    held_labels: Ints
    test_images: Floats
    test_labels: Ints
    class_names: tuple[str, ...]
    mean: float
    std: float
    sha256: dict[str, str]
    picture: PictureSpec | None = None


_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class _Source:
    """Where the files of a data set are, and what they must hash to."""

    url: str
    sha256: dict[str, str]


@dataclass(frozen=True)
class _IdxSource(_Source):
    """Images: the four IDX files."""

    class_names: tuple[str, ...]
    mean: float
    std: float
    picture: PictureSpec


_IDX_SOURCES = {
    "mnist": _IdxSource(
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        class_names=tuple("0123456789"),
        mean=0.1307,
        std=0.3081,
        # A 20 x 20 box, centred by mass. Nine in ten of the digits have strokes wider than this one.
        picture=PictureSpec(shows="ink", box=20, centre="mass", stroke=1.4),
        sha256={
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": _IdxSource(
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        class_names=_FASHION,
        mean=0.2860,
        std=0.3530,
        picture=PictureSpec(shows="item", box=28, centre="box"),
        sha256={
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}

IMAGE_SETS = (*_IDX_SOURCES, "digits")


def load_images(name: str, data_dir: Path | None = None) -> ImageSet:
    """An image data set by name: `mnist`, `fashion-mnist`, or scikit-learn's 8x8 `digits`.

    The IDX files are read from `data_dir` (or `ODETRAIN_DATA`), in it or in a folder of the set's name; otherwise they
    are fetched, with a progress bar, into the user's cache. Their hashes are checked in any case.

    Errors: ValueError for an unknown name or an altered file; OSError when a download fails.
    """
    if name == "digits":
        return _digits()
    if name not in _IDX_SOURCES:
        raise ValueError(f"data: expected one of {', '.join(IMAGE_SETS)}; got {name!r}")
    source = _IDX_SOURCES[name]
    files = {file: _located(name, source, file, data_dir) for file in source.sha256}
    images, test_images = (_read_idx(files[f"{split}-images-idx3-ubyte.gz"]) for split in ("train", "t10k"))
    labels, test_labels = (_read_idx(files[f"{split}-labels-idx1-ubyte.gz"]) for split in ("train", "t10k"))
    cut = len(images) - CALIBRATION_ITEMS
    pixels = (images / 255).astype(np.float32)
    return ImageSet(
        name=name,
        train_images=pixels[:cut],
        train_labels=labels[:cut].astype(np.int64),
        held_images=pixels[cut:],
        held_labels=labels[cut:].astype(np.int64),
        test_images=(test_images / 255).astype(np.float32),
        test_labels=test_labels.astype(np.int64),
        class_names=source.class_names,
        mean=source.mean,
        std=source.std,
        sha256=source.sha256,
        picture=source.picture,
    )


def _data_root(data_dir: Path | None) -> Path | None:
    return data_dir or (Path(os.environ["ODETRAIN_DATA"]) if os.environ.get("ODETRAIN_DATA") else None)


def _located(name: str, source: _Source, file: str, data_dir: Path | None) -> Path:
    """The file, from a local folder where there is one, else downloaded."""
    expected = source.sha256[file]
    root = _data_root(data_dir)
    if root is not None:
        for path in (root / file, root / name / file, root / "tabular" / name / file):
            if path.is_file():
                if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                    raise ValueError(f"{path}: sha256 is not the published one; the file was altered or is incomplete")
                return path
        raise ValueError(f"{root}: has neither {file} nor {name}/{file}; leave --data-dir out to download it")
    import pooch  # a download is the only use of it

    url = source.url + file
    cache = pooch.os_cache("odeserve") / name
    try:
        return Path(pooch.retrieve(url, known_hash=f"sha256:{expected}", fname=file, path=cache, progressbar=True))
    except OSError as error:
        raise OSError(
            f"{url}: could not be downloaded ({type(error).__name__}); fetch it elsewhere and name its folder with "
            "--data-dir or ODETRAIN_DATA"
        ) from error


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes."""
    content = gzip.decompress(path.read_bytes())
    dims = content[3]
    shape = np.frombuffer(content, ">u4", dims, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape.tolist())


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits  # a second of import that image runs do not need

    bunch = load_digits()
    order = generator(0).permutation(len(bunch.images))
    images, labels = (bunch.images[order] / 16).astype(np.float32), bunch.target[order].astype(np.int64)
    train, held = slice(0, 1200), slice(1200, 1500)
    return ImageSet(
        name="digits",
        train_images=images[train],
        train_labels=labels[train],
        held_images=images[held],
        held_labels=labels[held],
        test_images=images[1500:],
        test_labels=labels[1500:],
        class_names=tuple("0123456789"),
        mean=float(images[train].mean()),
        std=float(images[train].std()),
        sha256={},
    )


# Toy densities: two-dimensional, drawn from numpy streams, in units of their own.


def _two_moons(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    angle = rng.uniform(0, np.pi, count)
    upper = rng.random(count) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], 1) + 0.1 * rng.standard_normal((count, 2))


def _pinwheel(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    arms, radial, tangential, rate = 5, 0.3, 0.1, 0.25
    arm = rng.integers(0, arms, count)
    radius = 1 + radial * rng.standard_normal(count)
    across = tangential * rng.standard_normal(count)
    angle = 2 * np.pi * arm / arms + rate * np.exp(radius)
    cos, sin = np.cos(angle), np.sin(angle)
    return 2 * np.stack([radius * cos - across * sin, radius * sin + across * cos], 1)


def _eight_gaussians(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    angle = 2 * np.pi * rng.integers(0, 8, count) / 8
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.2 * rng.standard_normal((count, 2))


def _checkerboard(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Uniform on the eight dark squares of a 4 x 4 board over [-4, 4]^2."""
    column = rng.integers(0, 4, count)
    row = 2 * rng.integers(0, 2, count) + column % 2
    return 2 * (np.stack([column, row], 1) + rng.random((count, 2))) - 4


TOYS: dict[str, Callable[[np.random.Generator, int], npt.NDArray[np.float64]]] = {
    "two-moons": _two_moons,
    "pinwheel": _pinwheel,
    "8gaussians": _eight_gaussians,
    "checkerboard": _checkerboard,
}


@dataclass(frozen=True)
class PointSet:
    """Points of a density. A toy has no end: `train` is None and batches are drawn; a file is split in three.

    Shapes: every array [item, dim].
    """

    name: str
    train: npt.NDArray[np.float64] | None
    held: npt.NDArray[np.float64]
    test: npt.NDArray[np.float64]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: dict[str, str]

    def batch(self, seed: int, step: int, size: int) -> npt.NDArray[np.float64]:
        """Training points of one step. Shapes: -> [size, dim]."""
        rng = generator(seed, 1, step)
        if self.train is None:
            return TOYS[self.name](rng, size)
        return self.train[rng.integers(0, len(self.train), size)]


_PROTEIN = _Source(
    url="https://raw.githubusercontent.com/treforevans/uci_datasets/f0737523712fe66a1640e4b980b927e8490b58eb/"
    "uci_datasets/protein/",
    sha256={
        "data.csv.gz": "f709d0107c3ee90ab019b9e5d77fc2ae182158958cb70b1903236a51334fd01b",
        "test_mask.csv.gz": "22afe05e8d17c428558d78a77efeecc08d58004b6c95741d1c533c3207c69fe9",
    },
)
PROTEIN_COLUMNS = (0, 1, 2, 3, 5, 6, 8, 9)
"""Without column 7, which is discrete, and column 4, whose correlation with column 0 is 0.998."""


def _protein(seed: int, data_dir: Path | None) -> PointSet:
    """UCI protein (CASP) without duplicate rows; the test rows are those of fold 0."""
    table, mask = (np.loadtxt(_located("protein", _PROTEIN, file, data_dir), delimiter=",") for file in _PROTEIN.sha256)
    first = np.sort(np.unique(table, axis=0, return_index=True)[1])
    rows, tested = table[first][:, PROTEIN_COLUMNS], mask[first, 0] == 1
    return _split("protein", rows[~tested], rows[tested], seed, _PROTEIN.sha256)


def load_points(data: str, seed: int, data_dir: Path | None = None) -> PointSet:
    """A toy by name, `protein`, or the rows of a .npy or .csv file, of which 10 % are for the test.

    Of what is not for the test, a tenth, at most 5,000, is held back. A relative file name is looked for in the current
    folder, then in `data_dir` (or `ODETRAIN_DATA`).

    Errors: ValueError for an unknown name, a file that is altered or nowhere, or one that is not a finite [item, dim]
        table of at least 20 distinct rows.
    """
    if data == "protein":
        return _protein(seed, data_dir)
    if data in TOYS:
        moments = TOYS[data](generator(0, 2), 100_000)
        return PointSet(
            name=data,
            train=None,
            held=TOYS[data](generator(seed, 3), CALIBRATION_ITEMS),
            test=TOYS[data](generator(seed, 4), 10_000),
            mean=tuple(moments.mean(0).tolist()),
            std=tuple(moments.std(0).tolist()),
            sha256={},
        )
    path = _table_file(data, data_dir)
    rows = _read_table(path)
    rows = np.unique(rows, axis=0)  # a row on both sides of the split would flatter the test figure
    if len(rows) < 20:
        raise ValueError(f"{path}: needs at least 20 distinct rows, has {len(rows)}")
    rows = rows[generator(seed, 2).permutation(len(rows))]
    tested = len(rows) // 10
    sha256 = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    return _split(path.stem, rows[tested:], rows[:tested], seed, sha256)


def check_same_data(data: ImageSet | PointSet, recorded: dict[str, str]) -> None:
    """Refuse data whose files are not those of the training: split anew, its test items may be training items.

    Errors: ValueError naming the file.
    """
    for file in sorted(data.sha256.keys() | recorded.keys()):
        if data.sha256.get(file) != recorded.get(file):
            raise ValueError(
                f"{file}: sha256 is not the one the artifact's manifest records; it was trained on other data"
            )


def _split(
    name: str,
    rows: npt.NDArray[np.float64],
    test: npt.NDArray[np.float64],
    seed: int,
    sha256: dict[str, str],
) -> PointSet:
    """A tenth of the rows held back, at most 5,000, drawn by the seed; moments of the rest."""
    rows = rows[generator(seed, 3).permutation(len(rows))]
    held = min(CALIBRATION_ITEMS, len(rows) // 10)
    train = rows[held:]
    if len(train) < 2 or not (train.std(0) > 0).all():
        raise ValueError(f"{name}: needs at least 20 distinct rows and no constant column")
    return PointSet(
        name=name,
        train=train,
        held=rows[:held],
        test=test,
        mean=tuple(train.mean(0).tolist()),
        std=tuple(train.std(0).tolist()),
        sha256=sha256,
    )


def _table_file(data: str, data_dir: Path | None) -> Path:
    path = Path(data)
    if path.suffix not in {".npy", ".csv"}:
        raise ValueError(f"data: expected one of {', '.join(TOYS)}, protein, or a .npy or .csv file; got {data}")
    root = _data_root(data_dir)
    places = [path] if root is None else [path, root / path]
    for place in places:
        if place.is_file():
            return place
    raise ValueError(f"data: there is no file {' nor '.join(map(str, dict.fromkeys(places)))}")


def _read_table(path: Path) -> npt.NDArray[np.float64]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty .csv, which is told below
            rows = (
                np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
            )
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: is no table of numbers: {str(error).splitlines()[0]}") from error
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "iuf":
        kind = rows.dtype if isinstance(rows, np.ndarray) else "an archive"
        raise ValueError(f"{path}: expected real numbers, got {kind}")
    if rows.ndim != 2 or len(rows) < 20 or rows.shape[1] < 1:
        raise ValueError(f"{path}: expected at least 20 rows [item, dim], got shape {list(rows.shape)}")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise ValueError(f"{path}: row {row}, column {column}, counted from 0, is {rows[row, column]}, not finite")
    return rows.astype(np.float64)
