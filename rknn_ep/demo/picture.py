"""The demo's annotated picture: every line of text framed, with what was read beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from rknn_ep.demo.comparison import characters

if TYPE_CHECKING:
    from rknn_ep.demo.ocr import Pixels, Word

SAME, DIFFERENT = (0, 150, 70), (210, 40, 40)
_WIDTH = 960


def annotate(image: Pixels, npu_words: Sequence[Word], cpu_words: Sequence[Word]) -> Image.Image:
    """The photo with the NPU's words framed, green where the CPU read the same and else red, and the words beside it."""
    photo = Image.fromarray(image)
    scale = _WIDTH / photo.width
    photo = photo.resize((_WIDTH, round(photo.height * scale)), Image.Resampling.BICUBIC)
    expected = {characters(word.text) for word in cpu_words}
    font = ImageFont.load_default(20)
    height = max(photo.height, 30 * len(npu_words) + 60)
    picture = Image.new("RGB", (_WIDTH + 460, height), (255, 255, 255))
    picture.paste(photo, (0, 0))
    canvas = ImageDraw.Draw(picture)
    canvas.text((_WIDTH + 20, 14), "read on the simulated NPU", fill=(90, 90, 90), font=font)
    for index, word in enumerate(npu_words):
        colour = SAME if characters(word.text) in expected else DIFFERENT
        corners = [(float(x) * scale, float(y) * scale) for x, y in word.box.corners()]
        canvas.line([*corners, corners[0]], fill=(255, 255, 255), width=9, joint="curve")
        canvas.line([*corners, corners[0]], fill=colour, width=5, joint="curve")
        label = f"{index + 1}"
        place = (corners[0][0] + 2, max(0.0, corners[0][1] - 28))
        canvas.text(place, label, fill=colour, font=font, stroke_width=3, stroke_fill=(255, 255, 255))
        canvas.text((_WIDTH + 20, 50 + 30 * index), f"{label}  {word.text}", fill=colour, font=font)
    return picture
