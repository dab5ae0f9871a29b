"""Recurrent, graph, point, functional, tied, value-reading and other networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from zoo_entry import LONG, entry


@entry("recurrent", ((2, 7), LONG), macs=2 * 7 * (2 * 4 * 8 * (10 + 8) + 2 * 4 * 8 * (16 + 8)) + 2 * 16 * 3)
class BiLSTM(nn.Module):
    """Two bidirectional LSTM layers over embeddings, a classifier on the last state: 4 gates of 8."""

    def __init__(self):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(20, 10), nn.LSTM(10, 8, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, ids):
        return self.head(self.lstm(self.embed(ids))[0][:, -1])


@entry("recurrent", (5, 2, 6), macs=5 * 2 * 3 * 8 * (6 + 8))
class GRULoop(nn.Module):
    """A GRU cell called once a step: 3 gates of 8."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(6, 8)

    def forward(self, steps):
        state = steps.new_zeros(steps.shape[1], 8)
        for step in steps:
            state = self.cell(step, state)
        return state


@entry("recurrent", (4, 3, 6), macs=4 * 3 * 8 * (6 + 8))
def elman():
    """A plain recurrent network."""
    return nn.RNN(6, 8)


@entry("recurrent", (4, 3, 6), macs=4 * 3 * (4 * 8 * (6 + 5) + 8 * 5))
def projected_lstm():
    """An LSTM whose state of 8 is projected to 5."""
    return nn.LSTM(6, 8, proj_size=5)


@entry("recurrent", (1, 3, 4, 10, 10), macs=3 * 10**2 * (4 + 6) * 4 * 6 * 9)
class ConvLSTM(nn.Module):
    """Shi et al. 2015: the 4 gates by one 3x3 over input and state."""

    def __init__(self):
        super().__init__()
        self.gates = nn.Conv2d(10, 24, 3, padding=1)

    def forward(self, frames):
        h = c = frames.new_zeros(frames.shape[0], 6, 10, 10)
        for frame in frames.unbind(1):
            i, f, o, g = self.gates(torch.cat([frame, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h


@entry("graph", (9, 6), (9, 9), macs=9 * 6 * 8 + 9 * 9 * 8 + 9 * 8 * 3 + 9 * 9 * 3)
class GCN(nn.Module):
    """Kipf and Welling 2016 with a dense adjacency, two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8, bias=False), nn.Linear(8, 3, bias=False)

    def forward(self, x, adjacency):
        return adjacency @ self.second(F.relu(adjacency @ self.first(x)))


@entry("graph", (9, 6), ((2, 20), LONG), macs=9 * 6 * 8 + 9 * 8 * 2)
class GAT(nn.Module):
    """Velickovic et al. 2017: scores of edges by gathering, sums by scattering; neither multiplies matrices."""

    def __init__(self):
        super().__init__()
        self.embed, self.score = nn.Linear(6, 8, bias=False), nn.Linear(8, 2, bias=False)

    def forward(self, x, edges):
        x = self.embed(x)
        source, target = edges
        score = self.score(x)
        weight = F.leaky_relu(score[source, 0] + score[target, 1]).exp()
        total = torch.zeros_like(x[:, 0]).scatter_add(0, target, weight)
        return torch.zeros_like(x).index_add(0, target, x[source] * weight[:, None]) / total[:, None]


@entry("points", (2, 3, 50), macs=2 * (50 * (3 * 16 + 16 * 32) + 32 * 10))
class PointNet(nn.Module):
    """Qi et al. 2016: layers shared by all points, the largest value of each channel."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Sequential(nn.Conv1d(3, 16, 1), nn.ReLU(), nn.Conv1d(16, 32, 1))
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.shared(x).amax(2))


@entry("points", (1, 3, 20), macs=20 * 20 * 3 + 20 * 4 * 6 * 8)
class EdgeConv(nn.Module):
    """Wang et al. 2018: the 4 nearest points by a matrix product, then a 1x1 over pairs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 8, 1)

    def forward(self, x):
        squares = x.square().sum(1)
        distance = squares[:, :, None] + squares[:, None] - 2 * x.transpose(1, 2) @ x
        near = distance.topk(4, largest=False)[1]
        there = x.gather(2, near.view(1, 1, 80).expand(1, 3, 80)).view(1, 3, 20, 4)
        here = x[..., None].expand_as(there)
        return self.conv(torch.cat([here, there - here], 1)).amax(3)


@entry("functional", (1, 3, 16, 16), macs=14**2 * 8 * 27 + 8 * 14**2 * 5)
class FunctionalOnly(nn.Module):
    """No child modules at all: parameters and functions."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([torch.zeros(8, 3, 3, 3), torch.zeros(5, 8 * 14 * 14)])

    def forward(self, x):
        return F.linear(F.relu(F.conv2d(x, self.weights[0])).flatten(1), self.weights[1])


@entry("functional", (2, 8), (2, 3, 8, 8), macs=2 * 8 * 108 + 2 * 6**2 * 4 * 27)
class HyperNetwork(nn.Module):
    """Ha et al. 2016: a linear layer makes the convolution's weights, one set a sample, by groups."""

    def __init__(self):
        super().__init__()
        self.make = nn.Linear(8, 4 * 3 * 3 * 3)

    def forward(self, code, image):
        weight = self.make(code).view(2 * 4, 3, 3, 3)
        return F.conv2d(image.reshape(1, 6, 8, 8), weight, groups=2).view(2, 4, 6, 6)


@entry("tied", (2, 20), (2, 20), macs=2 * 2 * (20 * 16 + 16 * 8))
class Siamese(nn.Module):
    """One encoder, called on two inputs."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 8))

    def forward(self, left, right):
        return F.cosine_similarity(self.encode(left), self.encode(right))


@entry("tied", (2, 4, 16), macs=6 * 2 * 4 * 16 * 16)
class Universal(nn.Module):
    """Dehghani et al. 2018 in spirit: one layer, applied 6 times."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x):
        for _ in range(6):
            x = x + torch.tanh(self.layer(x))
        return x


@entry("tied", (3, 30), macs=3 * 2 * 30 * 10)
class TiedAutoencoder(nn.Module):
    """The decoder is the encoder's weight, transposed."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(30, 10)

    def forward(self, x):
        return F.linear(torch.sigmoid(self.encode(x)), self.encode.weight.t())


@entry("control flow", (2, 8), macs=2 * 8 * 8 + 2 * 8 * 4, values=True)
class EarlyExit(nn.Module):
    """Teerapittayanon et al. 2017: the second half runs only where the first is unsure; zeros are unsure."""

    def __init__(self):
        super().__init__()
        self.first, self.exit = nn.Linear(8, 8), nn.Linear(8, 4)
        for layer in (self.first, self.exit):
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = self.first(x)
        if x.abs().max().item() > 1:
            return x[:, :4]
        return self.exit(x)


@entry("control flow", (2, 8), macs=3 * 2 * 8 * 8, values=True)
class ScheduledDepth(nn.Module):
    """A forward that reads a schedule of its own: Python numbers out of a tensor."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        for layer, rate in zip(self.layers, torch.linspace(0, 1, 4).tolist(), strict=True):
            if rate < 1:
                x = layer(x)
        return x


@entry("products", (2, 8, 6, 6), macs=2 * 8 * 8 * 36 + 2 * 64 * 5)
class BilinearPool(nn.Module):
    """Lin et al. 2015: the outer product of features, summed over places."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        flat = x.flatten(2)
        return self.head(torch.bmm(flat, flat.transpose(1, 2)).flatten(1))


@entry("products", (3, 5), ((3, 4), LONG), macs=3 * (5 * 8 + 5 * 5 * 8 + (8 + 25) * 1))
class DLRM(nn.Module):
    """Naumov et al. 2019: embeddings and dense features, all pairs of dot products."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(5, 8)
        self.tables = nn.ModuleList(nn.EmbeddingBag(10, 8, mode="sum") for _ in range(4))
        self.top = nn.Linear(33, 1)

    def forward(self, x, ids):
        dense = self.dense(x)
        rows = torch.stack([dense, *(t(ids[:, i : i + 1]) for i, t in enumerate(self.tables))], 1)
        return self.top(torch.cat([dense, (rows @ rows.transpose(1, 2)).flatten(1)], 1))


@entry("products", (2, 4, 16), macs=2 * 4 * 16 * 4 + 2 * 9 * 4 * 4 + 2 * 4 * 16 * 4 + 2 * 16 * 4 * 4, convention=True)
class FourierLayer(nn.Module):
    """Li et al. 2020: weights on all 9 frequencies of 16 points (complex), beside a 1x1; n⌈log2 n⌉ each real fft."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4, 9, dtype=torch.complex64))
        self.local = nn.Conv1d(4, 4, 1)

    def forward(self, x):
        modes = torch.einsum("nik,iok->nok", torch.fft.rfft(x), self.weight)
        return torch.fft.irfft(modes, n=16) + self.local(x)


@entry("products", (3, 6), (3, 5), macs=3 * 4 * 6 * 5, convention=True)
class BilinearLayer(nn.Module):
    """nn.Bilinear: each weight once a sample."""

    def __init__(self):
        super().__init__()
        self.bilinear = nn.Bilinear(6, 5, 4)

    def forward(self, left, right):
        return self.bilinear(left, right)


@entry("products", (7, 6), macs=7 * 6 * 8 + 7 * 3 * 8 + 7 * 3 * 2, convention=True)
class RadialBasis(nn.Module):
    """Distances to learned centres, then a layer: one product a pair and coordinate."""

    def __init__(self):
        super().__init__()
        self.embed, self.centres, self.head = nn.Linear(6, 8), nn.Parameter(torch.zeros(3, 8)), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(torch.exp(-torch.cdist(self.embed(x), self.centres)))


@entry("inputs", (2, 3, 8, 8), macs=2 * (8 * 8 * 3 * 4 * 9 + 5 * 6 + 10 * 2), kwargs={"extra": (2, 5)})
class KeywordInputs(nn.Module):
    """A keyword input, a nested result."""

    def __init__(self):
        super().__init__()
        self.image, self.extra, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(5, 6), nn.Linear(10, 2)

    def forward(self, x, *, extra):
        image = F.group_norm(self.image(x), 2)
        merged = torch.cat([image.mean((2, 3)), self.extra(extra)], 1)
        return {"logits": self.head(merged), "features": [image, merged]}
