"""What a picture can have wrong."""


class PictureError(ValueError):
    """Not a picture that can be read, or nothing is to be seen in it; the message says what."""
