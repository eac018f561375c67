import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from hybridleuk.data.images import check_images, image_sha256, inspect_bytes, read_image
from hybridleuk.exceptions import ImageError, InputError


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm"])
def test_lossless_formats_come_back_exactly(tmp_path, rgb, suffix):
    Image.fromarray(rgb).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}"), rgb)


def test_the_suffix_does_not_matter(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.txt", format="PNG")
    assert np.array_equal(read_image(tmp_path / "a.txt"), rgb)


def test_jpeg_is_close(tmp_path):
    smooth = np.full((32, 32, 3), (200, 120, 160), np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).max() <= 3


def test_grey_is_repeated_and_palettes_looked_up(tmp_path, rgb):
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(rgb[..., :1], 3, axis=2))
    flat = Image.new("P", (20, 20), 1)
    flat.putpalette([0, 0, 0, 10, 20, 30])
    flat.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png")[0, 0].tolist() == [10, 20, 30]


def test_transparency_lies_over_white(tmp_path):
    clear = np.zeros((20, 20, 4), np.uint8)
    clear[:10, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read[0, 0].tolist() == [0, 0, 0]
    assert read[15, 0].tolist() == [255, 255, 255]


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "a.tiff")
    red = read_image(tmp_path / "a.tiff")[0, 0]
    assert red[0] > 200
    assert red[1] < 60


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_keeps_the_high_byte(tmp_path, suffix, color):
    import imagecodecs

    shape = (20, 24, 3) if color else (20, 24)
    values = np.random.default_rng(1).integers(0, 65536, shape, dtype=np.uint16)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        path.write_bytes(imagecodecs.png_encode(values))
    else:
        tifffile.imwrite(path, values, photometric="rgb" if color else "minisblack")
    expected = (values >> 8).astype(np.uint8)
    expected = expected if color else np.repeat(expected[..., None], 3, axis=2)
    assert np.array_equal(read_image(path), expected)


def test_twelve_bit_camera_is_refused_not_blackened(tmp_path):
    tifffile.imwrite(tmp_path / "a.tiff", np.full((20, 20), 4000, np.uint16))
    with pytest.raises(ImageError, match="12-bit camera"):
        read_image(tmp_path / "a.tiff")


def test_orientation_is_applied(tmp_path, rgb):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(rgb).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(rgb, -1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty \\(0 bytes\\)"),
        (b"hello, this is no picture", "not an image that can be opened"),
        (b"\x00\x00\x00\x01Bud1\x00\x00", "not an image that can be opened"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, message):
    path = tmp_path / "cell.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"cell.jpg: .*{message}"):
        read_image(path)


def encoded(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP"])
def test_truncated_file_is_refused(tmp_path, rgb, form):
    content = encoded(Image.fromarray(np.tile(rgb, (8, 8, 1))), form)
    (tmp_path / "a.bin").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="damaged or cut off|not an image"):
        read_image(tmp_path / "a.bin")


def test_one_pixel_and_bomb_are_refused(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(ImageError, match="1 x 1 px is too small to show a cell"):
        read_image(tmp_path / "dot.png")
    Image.new("1", (3000, 3000)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match="more than the 1,000,000 pixels allowed"):
        read_image(tmp_path / "bomb.png", max_pixels=1_000_000)
    Image.new("1", (20000, 20000)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match="pixels"):
        read_image(tmp_path / "huge.png")


def test_several_pages_and_floats_are_refused(tmp_path, rgb):
    page = Image.fromarray(rgb)
    page.save(tmp_path / "stack.tiff", save_all=True, append_images=[page])
    with pytest.raises(ImageError, match="holds 2 pages"):
        read_image(tmp_path / "stack.tiff")
    tifffile.imwrite(tmp_path / "float.tiff", np.zeros((20, 20), np.float32))
    with pytest.raises(ImageError, match="floating point"):
        read_image(tmp_path / "float.tiff")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match="nowhere.png: cannot be read"):
        read_image(tmp_path / "nowhere.png")


def test_arrays(rgb):
    assert read_image(rgb) is rgb
    with pytest.raises(ImageError, match="float64; expected uint8"):
        read_image(np.zeros((20, 20, 3)))
    with pytest.raises(ImageError, match=r"expected \(height, width, 3\)"):
        read_image(np.zeros((20, 20, 4), np.uint8))
    with pytest.raises(ImageError, match="too small"):
        read_image(np.zeros((1, 1, 3), np.uint8))


def test_header_is_read_without_decoding(rgb):
    content = encoded(Image.fromarray(rgb), "PNG")
    assert inspect_bytes(content[:60], name="a") == (24, 32)


def test_lists_of_images_are_checked(rgb):
    assert len(check_images([rgb, "a.png"])) == 2
    assert len(check_images(np.stack([rgb, rgb]))) == 2
    with pytest.raises(InputError, match="single path 'a.png'; write \\[path\\]"):
        check_images("a.png")
    with pytest.raises(InputError, match="one array of shape"):
        check_images(rgb)
    with pytest.raises(InputError, match="empty list"):
        check_images([])
    with pytest.raises(InputError, match="Image 1 is a int"):
        check_images([rgb, 3])


def test_hash_follows_content(tmp_path, rgb):
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path)
    first = image_sha256(path)
    Image.fromarray(255 - rgb).resize((40, 40)).save(path)
    assert image_sha256(path) != first
    assert image_sha256(rgb) == image_sha256(rgb.copy())
    assert image_sha256(rgb) != image_sha256(rgb.transpose(1, 0, 2))
