"""Draw the strategies: what `hf-endpoint chunk --html` makes of one passage, photographed.

    python docs/figures/draw_chunks.py            # writes docs/figures/chunks-*.png

Needs Chromium or Chrome on the path, and Pillow, which comes with matplotlib.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from langchain_hf_endpoint import ChunkingSettings, chunk
from langchain_hf_endpoint.cli.chunk_view import Cuts, page

HERE = Path(__file__).parent
BOOK = HERE.parents[1] / "examples" / "data" / "alice_in_wonderland.txt"
FIRST, NEXT = "Down, down, down. There was nothing", "And here Alice began"
STRATEGIES = {
    "sentence-1": {"strategy": "sentence", "max_chunking_size": 35, "sentence_overlap": 1},
    "sentence-0": {"strategy": "sentence", "max_chunking_size": 35, "sentence_overlap": 0},
    "word": {"strategy": "word", "max_chunking_size": 35, "overlap": 10},
    "none": {"strategy": "none"},
}
# A picture is about the cuts: the figures and the histogram are left out of all but the last.
CUTS_ONLY = "h1, .figures, figure, .legend { display: none } main { padding: 1rem 1.25rem }"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, TALLEST, LOWEST, SCALE, MARGIN, COLOURS = 760, 2400, 880, 1.5, 12, 64


def passage() -> str:
    """A paragraph of the book, its line breaks taken out."""
    text = " ".join(BOOK.read_text(encoding="utf-8").split())
    start = text.index(FIRST)
    return text[start : text.index(NEXT, start)].strip()


def photograph(html: str, output: Path, most: int = TALLEST) -> None:
    """Have a browser draw the top of a page, cut it to what is on it, and keep it small."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is on the path")
    with tempfile.TemporaryDirectory() as folder:
        source, picture = Path(folder) / "page.html", Path(folder) / "page.png"
        source.write_text(html, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        size = [f"--window-size={WIDTH},{most}", f"--force-device-scale-factor={SCALE}"]
        command = [browser, *options, *size, f"--screenshot={picture}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ours
        drawn = Image.open(picture).convert("RGB")
    blank = Image.new("RGB", drawn.size, drawn.getpixel((0, 0)))
    box = ImageChops.difference(drawn, blank).getbbox()
    bottom = min(drawn.height, box[3] + round(MARGIN * SCALE))
    drawn.crop((0, 0, drawn.width, bottom)).quantize(COLOURS).save(output, optimize=True)


def main() -> None:
    text = passage()
    for name, settings in STRATEGIES.items():
        cuts = Cuts(name, text, chunk(text, settings))
        html = page([cuts], ChunkingSettings(**settings).public_config())
        short = html.replace("</style>", f"{CUTS_ONLY}</style>")
        photograph(short, HERE / f"chunks-{name}.png")
    whole, settings = BOOK.read_text(encoding="utf-8"), ChunkingSettings()
    html = page([Cuts(BOOK.name, whole, chunk(whole))], settings.public_config())
    photograph(html, HERE / "chunks-page.png", most=LOWEST)


if __name__ == "__main__":
    main()
