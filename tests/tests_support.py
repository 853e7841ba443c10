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


def scene(rng, size=(160, 120)):
    """A picture with structure at all sizes, as photographs have: noise whose amplitude falls as 1/f."""
    width, height = size
    y, x = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    fall = 1 / np.maximum(np.hypot(x, y), 1 / max(size))
    channels = []
    for _ in range(3):
        noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) * fall).real
        channels.append((noise - noise.mean()) / noise.std())
    grey = channels[0][:, :, None] + 0.3 * np.stack(channels, axis=2)
    return Image.fromarray((128 + 40 * grey).clip(0, 255).astype(np.uint8))
