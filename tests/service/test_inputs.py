"""What goes into the routes: arrays as JSON and .npy, pictures alone, in forms and in JSON."""

import base64
import json

import numpy as np
import pytest
from apps import running_app
from artifacts import CLOUD, DIGITS, RAW
from drawings import encoded, npy, seven
from PIL import Image

IMAGE = np.random.default_rng(5).random((8, 8)).astype(np.float32)
PICTURE = encoded(seven())
NPY = "application/x-npy"


def post(client, path, content, kind):
    return client.post(path, content=content, headers={"Content-Type": kind})


def found(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def refused(answer, status=422, code="invalid_input"):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    return error["message"]


def test_an_array_file_is_answered_as_the_same_numbers_in_json(client):
    images = np.stack([IMAGE, IMAGE.T, 1 - IMAGE])
    as_json = found(client.post("/classify", json={"images": images.tolist()}))
    assert found(post(client, "/classify", npy(images), NPY)) == as_json
    assert found(post(client, "/classify", npy(images[0]), NPY)) == as_json[:1]


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_byte_order_and_axis_order_do_not_matter(client, dtype, order):
    images = np.stack([IMAGE, IMAGE.T]).astype(np.float16)
    expected = found(client.post("/classify", json={"images": images.astype(float).tolist()}))
    assert found(post(client, "/classify", npy(np.array(images, dtype, order=order)), NPY)) == expected


@pytest.mark.parametrize("dtype", ["?", "|u1", "|i1", ">u2", "<i8", "<u8"])
def test_whole_numbers_and_booleans_are_numbers(client, dtype):
    image = (IMAGE > 0.5).astype(dtype)
    expected = found(client.post("/classify", json={"image": image.astype(float).tolist()}))
    assert found(post(client, "/classify", npy(image), NPY)) == expected


def test_points_come_as_array_files_too(client):
    points = np.array([[0, 1, 0], [1, 1, 1]], ">i4")
    expected = found(client.post(f"/density?model={CLOUD}", json={"points": points.tolist()}))
    assert found(post(client, f"/density?model={CLOUD}", npy(points), NPY)) == expected


def altered(value, *place):
    image = IMAGE.astype(np.float64)
    image[place] = value
    return npy(image)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "expected a .npy file"),
        (npy(IMAGE)[:20], "expected a .npy file"),
        (npy(IMAGE)[:-1], "expected 256 bytes of data for shape [8, 8] of float32, got 255"),
        (npy(IMAGE) + b"x", "expected 256 bytes of data"),
        (npy(np.zeros((8, 8), complex)), "real numbers, got dtype complex128"),
        (npy(np.array([[None]]), allow_pickle=True), "real numbers, got dtype object"),
        (npy(np.zeros((8, 8), "M8[s]")), "real numbers, got dtype datetime64[s]"),
        (npy(np.zeros((8, 8), "U3")), "real numbers"),
        (npy(np.zeros((8, 8), [("a", "f4")])), "real numbers"),
        (npy(np.zeros((7, 8))), "image: expected shape [8, 8], or [n, 8, 8] for images, got [7, 8]"),
        (npy(np.float32(1)), "got []"),
        (npy(np.zeros((0, 8, 8))), "images: expected at least one entry"),
        (altered(1.5, 3, 4), "image[3][4]: expected a number not above 1, got 1.5"),
        (altered(-1e300, 0, 0), "image[0][0]: expected a number not below 0, got -1e+300"),
        (altered(np.nan, 7, 7), "image[7][7]: expected a finite number, got nan"),
        (npy(np.full((2, 8, 8), 200, np.uint8)), "images[0][0][0]: expected a number not above 1, got 200"),
    ],
)
def test_a_wrong_array_file_is_told_what_is_wrong_with_it(client, body, words):
    assert words in refused(post(client, "/classify", body, NPY))


def test_a_header_that_promises_more_than_the_body_has_costs_nothing(client):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000, 8, 8), }"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    assert "expected 256000 bytes of data" in refused(post(client, "/classify", body, NPY))
    body = body.replace(b"(1000, 8, 8)", b"(9**9, 8, 8)")
    assert "npy" in refused(post(client, "/classify", body, NPY))
    nested = b"[" * 9000
    body = b"\x93NUMPY\x01\x00" + len(nested).to_bytes(2, "little") + nested
    assert "npy" in refused(post(client, "/classify", body, NPY))


def test_too_many_rows_are_too_large_in_any_form(client):
    refused(post(client, f"/density?model={RAW}", npy(np.zeros((1001, 2))), NPY), 413, "too_large")
    small = base64.b64encode(encoded(seven(8))).decode()
    refused(client.post("/classify", json={"images": [{"b64": small}] * 1001}), 413, "too_large")
    files = [("file", (f"{i}.png", b"x", "image/png")) for i in range(1001)]
    refused(client.post("/classify", files=files), 413, "too_large")


def test_a_picture_is_the_same_alone_in_a_form_and_in_json(client):
    (alone,) = found(post(client, "/classify", PICTURE, "image/png"))
    jpeg = encoded(seven(), "JPEG", quality=95)
    text = base64.b64encode(PICTURE).decode()
    assert found(client.post("/classify", files={"file": ("7.png", PICTURE, "image/png")})) == [alone]
    assert found(client.post("/classify", files={"file": ("7", PICTURE)})) == [alone]
    assert found(client.post("/classify", json={"image": {"b64": text}})) == [alone]
    assert found(client.post("/classify", json={"image": {"b64": f"data:image/png;base64,{text}"}})) == [alone]
    wrapped = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    assert found(client.post("/classify", json={"images": [{"b64": wrapped}] * 2})) == [alone] * 2
    (other,) = found(post(client, "/classify", jpeg, "image/jpeg"))
    assert other["label"] == alone["label"]
    several = [("file", ("a.png", PICTURE, "image/png")), ("file", ("b.jpg", jpeg, "image/jpeg"))] * 20
    assert found(client.post("/classify", files=several)) == [alone, other] * 20


def test_pictures_go_with_every_parameter(client):
    (prediction,) = found(post(client, "/classify?tol=auto", PICTURE, "image/png"))
    assert prediction["solver"]["attempts"]
    (prediction,) = found(post(client, "/classify?tol=1e-4&max_nfe=5&partial=true", PICTURE, "image/png"))
    assert prediction["status"] == "max_nfe"


FORM = "multipart/form-data; boundary=xyz"


def form(*parts):
    lines = [b"".join((b"--xyz\r\n", head, b"\r\n\r\n", content, b"\r\n")) for head, content in parts]
    return b"".join(lines) + b"--xyz--\r\n"


HEAD = b'Content-Disposition: form-data; name="file"; filename="7.png"'


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (FORM, form((HEAD.replace(b"file", b"image", 1), PICTURE)), "named file, got a part named 'image'"),
        (FORM, form((HEAD.partition(b"; filename")[0], PICTURE)), "file: expected a form"),
        (FORM, form((b"X-Other: 1", PICTURE)), "got a part named ''"),
        (FORM, form((HEAD, PICTURE))[:-30], "before its closing boundary"),
        (FORM, form((HEAD, PICTURE)).replace(b"xyz", b"abc"), "form: expected a form"),
        (FORM, form(), "file"),
        (FORM, b"", "form"),
        ("multipart/form-data", form((HEAD, PICTURE)), "without a boundary"),
        (f"multipart/form-data; boundary={'x' * 5000}", b"--", "form"),
        (FORM, form((HEAD, b"")), "file: expected a PNG or JPEG file, got nothing"),
        (FORM, form((HEAD, PICTURE), (HEAD, b"GIF89a")), "file[1]: expected a PNG or JPEG file, got 6 bytes"),
        ("image/png", PICTURE[:100], "picture: the PNG file is truncated"),
        (
            "image/jpeg",
            encoded(seven(), "JPEG")[:-100],
            "picture: the JPEG file cannot be decoded: image file is trunc",
        ),
        ("image/png", b"\x89PNG\r\n\x1a\n", "picture: the PNG file is truncated"),
        ("image/png", PICTURE[:60] + b"zzzz" + PICTURE[64:], "picture: the PNG file"),
        ("image/png", encoded(seven(), "GIF"), "picture: expected a PNG or JPEG file"),
        ("image/png", encoded(Image.new("L", (40, 40), 255)), "picture: nothing stands out"),
        ("application/json", b'{"image": {"b64": "!"}}', "image.b64: expected a PNG or JPEG file in base64"),
        ("application/json", b'{"image": {"b64": ""}}', "image.b64: expected a PNG or JPEG file, got nothing"),
        ("application/json", b'{"image": {"base64": "AAAA"}}', "image.b64: missing"),
        ("application/json", b'{"image": {"b64": "AAAA", "name": "x"}}', "image.name: unknown field; known are b64"),
        ("application/json", b'{"images": [{"b64": "AAAA"}, [[0]]]}', "images[1]: expected an object, got a list"),
        ("application/json", b'{"images": [{"b64": 5}]}', "images[0].b64: expected a string"),
        ("application/json", b'{"image": {"b64": ""}, "images": [{"b64": ""}]}', "got both"),
        ("application/json", b'{"images": [{"base64": ""}]}', "images[0]: expected a list, got an object"),
    ],
)
def test_wrong_pictures_and_forms_are_told_what_is_wrong(client, kind, body, words):
    assert words in refused(post(client, "/classify", body, kind))
    assert found(post(client, "/classify", PICTURE, "image/png"))


def test_types_that_are_not_read_are_told_those_that_are(client):
    message = refused(post(client, "/classify", b"x", "text/plain"), 415, "unsupported_media_type")
    for kind in ("application/json", NPY, "image/png", "image/jpeg", "multipart/form-data"):
        assert kind in message
    message = refused(post(client, f"/density?model={CLOUD}", PICTURE, "image/png"), 415, "unsupported_media_type")
    assert f"{CLOUD} does not say how a picture becomes its input" in message
    assert "application/x-npy" in message
    message = refused(post(client, f"/sample?model={CLOUD}", npy(IMAGE), NPY), 415, "unsupported_media_type")
    assert "expected application/json, got" in message
    gif = form((HEAD + b"\r\nContent-Type: image/gif", b"GIF89a"))
    assert "image/gif" in refused(post(client, "/classify", gif, FORM), 415, "unsupported_media_type")


def chunk(kind, content):
    import zlib

    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def bomb(side):
    """A PNG file that says it is so large, of almost nothing."""
    sides = side.to_bytes(4, "big") * 2
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", sides + b"\x08\x02\x00\x00\x00"), chunk(b"IDAT", b"x\x9c"), chunk(b"IEND", b""))
    )


def test_a_picture_bomb_is_refused_before_its_pixels_are_made(client):
    message = refused(post(client, "/classify", bomb(50_000), "image/png"), 413, "too_large")
    assert message == "picture: 50000 x 50000 pixels are more than 25000000 in a picture"
    files = [("file", ("7.png", PICTURE, "image/png")), ("file", ("bomb.png", bomb(2**31 - 1), "image/png"))]
    assert "file[1]" in refused(client.post("/classify", files=files), 413, "too_large")


def test_the_pixels_of_a_picture_and_of_a_request_are_limited(settings):
    with running_app(settings.model_copy(update={"max_pixels": 56 * 56})) as client:
        assert found(post(client, "/classify", PICTURE, "image/png"))
        refused(post(client, "/classify", encoded(seven(57)), "image/png"), 413, "too_large")
        text = base64.b64encode(PICTURE).decode()
        assert found(client.post("/classify", json={"images": [{"b64": text}] * 4}))
        refused(client.post("/classify", json={"images": [{"b64": text}] * 5}), 413, "too_large")


def test_openapi_names_every_type_that_is_read_with_a_schema_and_an_example(client):
    paths = client.get("/openapi.json").json()["paths"]
    kinds = {"application/json", NPY, "image/png", "image/jpeg", "multipart/form-data"}
    for path, read in (
        ("/classify", kinds),
        ("/density", {"application/json", NPY}),
        ("/sample", {"application/json"}),
    ):
        content = paths[path]["post"]["requestBody"]["content"]
        assert set(content) == read
        for entry in content.values():
            assert entry.get("examples") or entry["schema"]["examples"]
    examples = paths["/classify"]["post"]["requestBody"]["content"]
    for kind in ("image/png", "image/jpeg"):
        head, _, data = examples[kind]["examples"]["file"]["externalValue"].partition(",")
        assert head == f"data:{kind};base64"
        assert found(post(client, "/classify", base64.b64decode(data), kind))
    *_, picture = examples["application/json"]["schema"]["examples"]
    assert found(client.post("/classify", json=picture))
    array = paths["/density"]["post"]["requestBody"]["content"][NPY]["examples"]["file"]["externalValue"]
    assert found(post(client, f"/density?model={RAW}", base64.b64decode(array.partition(",")[2]), NPY))


def test_what_a_model_says_of_pictures_is_told(client):
    assert client.get(f"/models/{DIGITS}").json()["signature"]["/classify"]["input"]["picture"] == {
        "shows": "ink",
        "box": 6,
        "centre": "mass",
        "stroke": None,
    }
    assert client.get(f"/models/{CLOUD}").json()["signature"]["/density"]["input"]["picture"] is None


def test_plain_json_is_read_as_before(client):
    assert found(client.post("/classify", content=json.dumps({"image": IMAGE.tolist()})))
