"""Picture files to grey values to inputs."""

import numpy as np
import pytest
from drawings import encoded, seven
from PIL import Image, ImageDraw, ImageOps

from node_model.manifest import PictureSpec, TensorSpec
from service.api.pictures.container import MOST_CHUNKS, MOST_SCANS, inspect
from service.api.pictures.decode import LONGEST, grey_of
from service.api.pictures.errors import PictureError
from service.api.pictures.patches import patches_of
from service.api.pictures.prepare import prepare

INK = PictureSpec(shows="ink", box=20, centre="mass", stroke=1.4)
ITEM = PictureSpec(shows="item", box=28, centre="box")


def grey(data):
    return grey_of(data, inspect(data))


def prepared(picture, spec=INK):
    values = grey(picture if isinstance(picture, bytes) else encoded(picture))
    return prepare(values, TensorSpec(name="image", shape=(28, 28), dtype="float32", range=(0, 1), picture=spec))


def transparent_seven():
    picture = Image.new("RGBA", (56, 56), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), mask=ImageOps.invert(seven()))
    return picture


def sixteen_bits():
    return Image.fromarray(np.asarray(seven(), np.uint16) * 257)


@pytest.mark.parametrize(
    "picture",
    [
        seven(),
        seven(mode="RGB", ground=(255, 255, 255), ink=(0, 0, 0)),
        seven().convert("1"),
        seven().convert("P"),
        seven(mode="RGB", ground=(255, 255, 255), ink=(0, 0, 0)).quantize(4),
        transparent_seven(),
        transparent_seven().convert("LA"),
        sixteen_bits(),
    ],
    ids=["grey", "colour", "one bit", "palette", "colour palette", "transparent", "grey and alpha", "sixteen bits"],
)
def test_every_kind_of_png_comes_to_the_same_grey(picture):
    np.testing.assert_allclose(grey(encoded(picture)), np.asarray(seven(), np.float32), atol=1)


def test_a_transparent_colour_is_white():
    data = encoded(seven(ground=7), transparency=7)
    np.testing.assert_allclose(grey(data), np.asarray(seven(), np.float32), atol=1)
    palette = seven().convert("P")
    data = encoded(palette, transparency=0)
    assert grey(data).min() == 255


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_comes_to_nearly_the_same_grey(mode):
    data = encoded(seven().convert(mode), "JPEG", quality=95)
    assert np.abs(grey(data) - np.asarray(seven())).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_rotated_photo_is_turned_upright(orientation, kind):
    stored = seven().crop((0, 0, 56, 50))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    stored.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored), np.float32)
    found = grey(data)
    assert found.shape == upright.shape
    assert np.abs(found - upright).mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_beside_a_good_picture_is_passed_over():
    data = encoded(seven(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert grey(data).shape == (56, 56)


def test_a_large_picture_is_made_smaller_first():
    for kind in ("PNG", "JPEG"):
        assert max(grey(encoded(seven(3000), kind)).shape) == LONGEST


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 33, 40, 60, 90, -5, -12])
def test_a_file_that_ends_early_is_refused(cut):
    for kind in ("PNG", "JPEG"):
        data = encoded(seven(), kind)[:cut]
        with pytest.raises(PictureError, match=r"truncated|expected|decoded"):
            grey(data)


def test_a_png_of_very_many_pieces_is_refused():
    data = encoded(seven())
    piece = (0).to_bytes(4, "big") + b"teXt" + (0).to_bytes(4, "big")
    with pytest.raises(PictureError, match="more than"):
        inspect(data[:33] + piece * MOST_CHUNKS + data[33:])


def test_a_jpeg_of_very_many_scans_is_refused():
    data = encoded(seven(), "JPEG", progressive=True)
    scan = data[data.index(b"\xff\xda") : -2]
    with pytest.raises(PictureError, match="scans"):
        inspect(data[:-2] + scan * MOST_SCANS + data[-2:])


def test_text_that_unpacks_to_very_much_is_refused():
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_text("note", "x" * 50_000_000, zip=True)
    with pytest.raises(PictureError, match="decoded"):
        grey(encoded(seven(), pnginfo=notes))


def test_a_file_of_two_sizes_is_refused():
    import zlib

    data = encoded(seven())
    ihdr = data[8:33]
    other = ihdr[4:8] + (9000).to_bytes(4, "big") * 2 + ihdr[16:21]
    second = ihdr[:4] + other + zlib.crc32(other).to_bytes(4, "big")
    with pytest.raises(PictureError):
        grey(data[:33] + second + data[33:])


def test_strokes_fill_the_box_and_their_mass_is_in_the_middle():
    for picture in (seven(100), ImageOps.invert(seven(100)), ImageOps.expand(seven(60), (90, 10, 20, 40), 255)):
        image = prepared(picture)
        rows, columns = np.flatnonzero((image > 0.05).any(1)), np.flatnonzero((image > 0.05).any(0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
        y, x = ((image.sum(1 - axis) * np.arange(28)).sum() / image.sum() for axis in (0, 1))
        assert abs(y - 14) <= 0.6
        assert abs(x - 14) <= 0.6
        assert image.max() > 0.95
        assert image[0].max() == 0


def test_where_in_the_picture_and_how_large_hardly_matters():
    plain = prepared(seven(120))
    moved = prepared(ImageOps.expand(seven(240), (200, 30, 40, 180), 255))
    assert np.abs(plain - moved).mean() < 0.02


def test_thin_lines_are_thickened_to_what_the_model_asks_for():
    picture = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(picture).line([(50, 40), (150, 40), (80, 170)], fill=0, width=3)
    thin = prepared(picture, INK.model_copy(update={"stroke": None}))
    assert prepared(picture).sum() > 1.5 * thin.sum()


def test_specks_shadows_and_the_table_are_left_out(rng):
    plain = prepared(seven(240))
    values = np.asarray(seven(240), np.float64)
    values[:, 120:] *= 0.6  # the edge of a shadow
    for y, x in rng.integers(5, 30, (4, 2)):
        values[y : y + 3, x : x + 3] = 0
    values = np.pad(values, ((0, 0), (20, 0)), constant_values=40)
    assert np.abs(prepared(Image.fromarray(values.astype(np.uint8))) - plain).mean() < 0.03


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("spec", [INK, ITEM], ids=["ink", "item"])
def test_a_picture_of_nothing_is_refused(value, spec):
    with pytest.raises(PictureError, match="nothing stands out"):
        prepared(Image.new("L", (50, 40), value), spec)


def test_noise_is_no_ink(rng):
    noise = rng.normal(128, 10, (200, 200)).clip(0, 255).astype(np.uint8)
    with pytest.raises(PictureError, match="stand"):
        prepared(Image.fromarray(noise))


def test_a_thing_keeps_its_shades_and_fills_the_frame():
    picture = Image.new("L", (90, 120), 250)
    ImageDraw.Draw(picture).rectangle((20, 30, 59, 109), fill=50)
    ImageDraw.Draw(picture).rectangle((30, 50, 49, 89), fill=150)
    image = prepared(picture, ITEM)
    rows, columns = np.flatnonzero((image > 0.1).any(1)), np.flatnonzero((image > 0.1).any(0))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (28, 14)
    assert image[14, 14] == pytest.approx(0.4, abs=0.02)
    assert image[2, 9] == pytest.approx(0.8, abs=0.02)
    lit = prepared(ImageOps.invert(picture), ITEM)
    assert lit[2, 9] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (3000, 2)])
@pytest.mark.parametrize("spec", [INK, ITEM], ids=["ink", "item"])
def test_the_oddest_sizes_are_prepared_or_refused(size, spec):
    picture = Image.new("L", size, 255)
    picture.putpixel((0, 0), 0)
    try:
        image = prepared(picture, spec)
    except PictureError:
        return
    assert image.shape == (28, 28)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


def test_patches_are_those_of_scipy(rng):
    from scipy import ndimage

    for share in (0.2, 0.4, 0.6, 0.9):
        mask = rng.random((40, 30)) < share
        found = patches_of(mask, mask.astype(float))
        expected, count = ndimage.label(mask, np.ones((3, 3)))
        assert len(found.weight) == count
        pairs = {(a, b) for a, b in zip(found.labels.ravel().tolist(), expected.ravel().tolist(), strict=True)}
        assert len(pairs) == count + bool((~mask).any())
        assert sorted(found.weight) == sorted(np.bincount(expected.ravel())[1:])
