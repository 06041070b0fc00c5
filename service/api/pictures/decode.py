"""Picture files to grey values."""

import warnings
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

from service.api.pictures.container import Container
from service.api.pictures.errors import PictureError
from service.engine.stepper import Array

LONGEST = 512
"""Pixels of the longer side from which an input of some dozens is made; a larger picture is made smaller first."""

# Sizes are checked before a file comes here, against the server's own limit. Pillow's is a warning.
Image.MAX_IMAGE_PIXELS = None
# Of a file that was sent only its sender needs to know.
warnings.filterwarnings("ignore", module=r"PIL\.")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture with an EXIF orientation upright."""


def grey_of(data: bytes, container: Container) -> Array:
    """Grey values of a file that was looked through: upright, on white where it is transparent.

    Shapes: -> [row, column] float32 in 0..255, neither side above LONGEST.
    Errors: PictureError.
    """
    try:
        with Image.open(BytesIO(data), formats=(container.kind,)) as picture:
            if picture.size != (container.width, container.height):
                raise PictureError(f"the {container.kind} file says two different sizes")
            picture.draft("L", (LONGEST, LONGEST))
            picture.load()
            turn = _UPRIGHT.get(_orientation(picture))
            grey = _smaller(_flattened(picture))
            return np.asarray(grey if turn is None else grey.transpose(turn), np.float32)
    except PictureError:
        raise
    except Exception as error:  # a decoder's errors are of many kinds
        raise PictureError(f"the {container.kind} file cannot be decoded: {str(error)[:200]}") from error


def _orientation(picture: Image.Image) -> int:
    """EXIF's; 1, upright, where there is none or it cannot be read."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF beside a good picture
        return 1


def _flattened(picture: Image.Image) -> Image.Image:
    """In grey, composed on white. -> mode L, or F for 16 bits."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture, np.float32)
        clear = picture.info.get("transparency")
        return Image.fromarray(np.where(values == clear, 255, values / 257).astype(np.float32))
    if not picture.has_transparency_data:
        colours = picture.convert("RGB") if picture.mode in ("P", "CMYK") else picture
        return colours.convert("L")
    colours = picture.convert("RGBA")
    grey, alpha = colours.convert("L"), colours.getchannel("A")
    return Image.composite(grey, Image.new("L", grey.size, 255), alpha)


def _smaller(grey: Image.Image) -> Image.Image:
    scale = LONGEST / max(grey.size)
    if scale >= 1:
        return grey
    width, height = (max(1, round(side * scale)) for side in grey.size)
    return grey.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
