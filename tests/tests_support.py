"""Things that several test files make."""

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 70), "red": (210, 50, 40)}


def paint(path, colour, rng, size=(48, 40)):
    """A noisy picture of one colour."""
    pixels = rng.normal(colour, 45, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
