"""All scores of a picture of one photo in the style of one painting."""

from __future__ import annotations

from collections.abc import Mapping

from judging import faults
from judging.colours import foreign_tints, oklab, palette_distance
from judging.networks import CONTENT_BLOCKS, STYLE_BLOCKS, VGG_LAYERS, Network
from judging.structure import edges_kept, ghosts, layout_kept, scaled
from judging.wasserstein import directions, quantiles
from PIL import Image
from torch import Tensor

from overpaint.pictures.tensors import to_tensor

REDUCTIONS = (1, 2, 4)
_STYLE_MAPS = {"vgg": VGG_LAYERS, "net": tuple(map(str, STYLE_BLOCKS))}
_CONTENT_MAPS = list(map(str, CONTENT_BLOCKS))


class Bench:
    """Judges pictures of one photo in the style of one painting.

    Args:
        photo: as large as the pictures to come.
        painting: its longer edge is theirs.
        networks: "vgg" and "net", which see the layers of `networks`.
    """

    def __init__(
        self, photo: Image.Image, painting: Image.Image, networks: Mapping[str, Network]
    ) -> None:
        self._networks = networks
        self._photo, self._painting = to_tensor(photo), to_tensor(painting)
        self._is_identity = photo == painting
        self._long_edge = max(photo.size)
        if not self._is_identity:
            self._layout = networks["net"](self._photo)
            self._style = self._clouds(self._painting)
            self._start = self._distances(self._clouds(self._photo))

    def scores(self, picture: Image.Image) -> dict[str, float]:
        """All of them by name, or the one of an identity test."""
        image = to_tensor(picture)
        if self._is_identity:
            difference = oklab(image) - oklab(self._painting)
            return {"identity": 100 * float(difference.square().sum(1).mean().sqrt())}
        found = self._distances(self._clouds(image))
        scores = {}
        for name, maps in _STYLE_MAPS.items():
            for reduction in REDUCTIONS:
                shares = [
                    found[name, reduction, one] / self._start[name, reduction, one] for one in maps
                ]
                scores[f"style {name} 1/{reduction}"] = sum(shares) / len(shares)
        sources = (self._photo, self._painting)
        return scores | {
            "palette": palette_distance(image, self._painting),
            "tints %": 100 * foreign_tints(image, *sources),
            "edges": edges_kept(image, self._photo),
            "layout": layout_kept(self._networks["net"](image), self._layout, _CONTENT_MAPS),
            "clipped %": 100 * faults.clipped(image, *sources),
            "noise dB": faults.noise(image, *sources),
            "checker dB": faults.checkerboard(image, *sources),
            "border": faults.border(image, self._photo),
            "ghosts %": 100 * ghosts(image, self._photo),
        }

    def _clouds(self, picture: Tensor) -> dict[tuple[str, int, str], Tensor]:
        """The distributions of features by network, reduction and map."""
        found = {}
        for reduction in REDUCTIONS:
            smaller = scaled(picture, round(self._long_edge / reduction))
            for name, maps in _STYLE_MAPS.items():
                features = self._networks[name](smaller)
                for one in maps:
                    points = features[one][0].flatten(1).T
                    found[name, reduction, one] = quantiles(points, directions(points.shape[1]))
        return found

    def _distances(
        self, clouds: dict[tuple[str, int, str], Tensor]
    ) -> dict[tuple[str, int, str], float]:
        """Squared, to the painting's."""
        return {
            key: float((cloud - self._style[key]).square().mean()) for key, cloud in clouds.items()
        }
