"""Bodies under /v2: one format, whatever the media type says."""

from starlette.requests import Request

from service.api.errors import ApiError, Code
from service.api.routes import IDENTITY


async def read_body(request: Request) -> bytes:
    """The bytes of a body. The protocol's clients name no media type, or any.

    Errors: ApiError 415 for an encoding that is not read, 413, 408; ClientDisconnect.
    """
    encoding = request.headers.get("Content-Encoding", "identity")
    if not IDENTITY.fullmatch(encoding):
        message = f"Content-Encoding: expected identity, got {encoding[:80]!r}"
        raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message)
    return await request.body()
