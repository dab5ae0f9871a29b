"""A small convolutional network for 32 x 32 images."""

from torch import Tensor, nn


class Stage(nn.Module):
    """Two 3x3 convolutions at one width, then the image halved."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, width, H / 2, W / 2)."""
        x = self.norm1(self.conv1(x)).relu()
        return self.pool(self.norm2(self.conv2(x)).relu())


class SmallNet(nn.Module):
    """Three stages and a linear classifier."""

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.stage1 = Stage(3, width)
        self.stage2 = Stage(width, 2 * width)
        self.stage3 = Stage(2 * width, 4 * width)
        self.classifier = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, classes)."""
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.classifier(x.mean((2, 3)))


def build(width: int = 32) -> SmallNet:
    """The network that is trained."""
    return SmallNet(width)
