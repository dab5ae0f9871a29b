"""Attention in the ways it is written: fused, einsum, matmul, torch's own modules, windows, linear, latent."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from zoo_entry import LONG, entry


def attention_macs(n, m, d):
    """Projections of n queries and m keys and values of width d, scores, values, output."""
    return n * d * d + 2 * m * d * d + 2 * n * m * d + n * d * d


class FusedAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(dim), nn.LayerNorm(dim), FusedAttention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@entry("transformer", (1, 3, 32, 32), macs=64 * 48 * 32 + 2 * (attention_macs(65, 65, 32) + 65 * 8 * 32 * 32) + 32 * 10)
class ViT(nn.Module):
    """Dosovitskiy et al. 2020, 2 layers, 4-pixel patches, a class token: scaled_dot_product_attention."""

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 32, 4, 4), nn.Parameter(torch.zeros(1, 1, 32))
        self.position, self.blocks = nn.Parameter(torch.zeros(1, 65, 32)), nn.Sequential(Block(32, 4), Block(32, 4))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


@entry("transformer", (2, 9, 16), macs=2 * 2 * (attention_macs(9, 9, 16) + 2 * 9 * 16 * 32))
def torch_encoder():
    """nn.TransformerEncoder: in evaluation mode a fused fast path on real devices."""
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2)


@entry(
    "transformer", (2, 5, 16), (2, 3, 16),
    macs=2 * (attention_macs(5, 5, 16) + 2 * attention_macs(3, 3, 16) - attention_macs(3, 3, 16)
              + attention_macs(3, 5, 16) + 2 * 5 * 16 * 32 + 2 * 3 * 16 * 32),
)  # fmt: skip
def torch_transformer():
    """nn.Transformer, one encoder and one decoder layer."""
    return nn.Transformer(16, 4, 1, 1, 32, batch_first=True)


@entry("transformer", (1, 5, 16), (1, 7, 12), macs=5 * 16 * 16 + 2 * 7 * 12 * 16 + 2 * 5 * 7 * 16 + 5 * 16 * 16)
class CrossAttention(nn.Module):
    """nn.MultiheadAttention whose keys and values have a width of their own."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, kdim=12, vdim=12, batch_first=True)

    def forward(self, x, memory):
        return self.attention(x, memory, memory, need_weights=False)[0]


@entry("transformer", (2, 6, 16), macs=2 * attention_macs(6, 6, 16))
class EinsumAttention(nn.Module):
    """Heads as a dimension of the weights, every product an einsum."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Parameter(torch.zeros(16, 4, 4)) for _ in range(4))

    def forward(self, x):
        q, k, v = (torch.einsum("ntd,dhe->nthe", x, w) for w in (self.q, self.k, self.v))
        weights = torch.einsum("nthe,nshe->nhts", q, k).softmax(-1)
        return torch.einsum("nthe,dhe->ntd", torch.einsum("nhts,nshe->nthe", weights, v), self.o)


@entry("transformer", ((1, 7), LONG), macs=attention_macs(7, 7, 32) + 7 * 8 * 32 * 32 + 7 * 32 * 50)
class TiedGPT(nn.Module):
    """Radford et al. 2019: a causal block, the output layer tied to the embedding."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions, self.block = nn.Embedding(50, 32), nn.Embedding(16, 32), Block(32, 4)
        self.head = nn.Linear(32, 50, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.block(x))


@entry("transformer", (1, 8, 8, 16), macs=4 * attention_macs(16, 16, 16))
class ShiftedWindows(nn.Module):
    """Liu et al. 2021: attention in 4 windows of 4 x 4, cyclically shifted, a bias by relative position."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj, self.bias = nn.Linear(16, 48), nn.Linear(16, 16), nn.Parameter(torch.zeros(49, 2))
        row = torch.arange(16) // 4
        column = torch.arange(16) % 4
        index = (row[:, None] - row + 3) * 7 + column[:, None] - column + 3
        self.register_buffer("index", index.flatten())

    def forward(self, x):
        x = torch.roll(x, (-2, -2), (1, 2)).view(1, 2, 4, 2, 4, 16).permute(0, 1, 3, 2, 4, 5).reshape(4, 16, 16)
        q, k, v = self.qkv(x).view(4, 16, 3, 2, 8).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) + self.bias[self.index].view(16, 16, 2).permute(2, 0, 1)
        x = self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(4, 16, 16))
        x = x.view(1, 2, 2, 4, 4, 16).permute(0, 1, 3, 2, 4, 5).reshape(1, 8, 8, 16)
        return torch.roll(x, (2, 2), (1, 2))


@entry("transformer", (1, 50, 16), macs=50 * 3 * 16 * 16 + 2 * 50 * 16 * 16 + 50 * 16)
class LinearAttention(nn.Module):
    """Katharopoulos et al. 2020: keys meet values first, so the cost is linear in the length; a matrix-vector norm."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(16, 48, bias=False)

    def forward(self, x):
        q, k, v = (part[0] for part in self.qkv(x).chunk(3, -1))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        return (q @ (k.T @ v)) / torch.mv(q, k.sum(0))[:, None]


@entry("transformer", (2, 16, 24), macs=2 * (2 * 24 * 16 * 32 + 2 * 16 * 24 * 48))
class Mixer(nn.Module):
    """Tolstikhin et al. 2021: one MLP over tokens, one over channels."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.channels = nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24))

    def forward(self, x):
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        return x + self.channels(x)


@entry("transformer", (1, 40, 16), macs=attention_macs(4, 40, 16))
class Perceiver(nn.Module):
    """Jaegle et al. 2021: a few learned latents attend to a long input."""

    def __init__(self):
        super().__init__()
        self.latents, self.attention = nn.Parameter(torch.zeros(4, 16)), nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        latents = self.latents.expand(len(x), -1, -1)
        return self.attention(latents, x, x)[0]


@entry("transformer", (1, 6, 32), macs=6 * 32 * 32 + 2 * 6 * 32 * 8 + 2 * 6 * 6 * 32 + 6 * 32 * 32)
class GroupedQuery(nn.Module):
    """Ainslie et al. 2023: 8 heads of queries share 2 of keys and values; rotary positions."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (
            nn.Linear(32, 32, bias=False),
            nn.Linear(32, 8, bias=False),
            nn.Linear(32, 8, bias=False),
        )
        self.o = nn.Linear(32, 32, bias=False)

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = (f(x).view(n, t, -1, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        angle = torch.outer(torch.arange(t, device=x.device), torch.tensor([1.0, 0.01], device=x.device))
        q, k = (torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
                for a, b in (q.chunk(2, -1), k.chunk(2, -1)))  # fmt: skip
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o(out.transpose(1, 2).reshape(n, t, 32))


@entry("transformer", (1, 6, 16), macs=6 * (16 * 4 + 4 * 2 * 16 * 32))
class DenseExperts(nn.Module):
    """Shazeer et al. 2017, every expert run: 4 experts as one batched weight, mixed by a gate."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(16, 4)
        self.up, self.down = nn.Parameter(torch.zeros(4, 16, 32)), nn.Parameter(torch.zeros(4, 32, 16))

    def forward(self, x):
        hidden = F.relu(torch.einsum("ntd,edf->entf", x, self.up))
        out = torch.einsum("entf,efd->entd", hidden, self.down)
        return (out * self.gate(x).softmax(-1).permute(2, 0, 1)[..., None]).sum(0)


@entry("transformer", (3, 8), macs=3 * (8 * 6 + 8 * 2 + 2 * 6))
class LoRA(nn.Module):
    """Hu et al. 2021: a frozen layer beside a product of rank 2."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(8, 6).requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.zeros(8, 2)), nn.Parameter(torch.zeros(2, 6))

    def forward(self, x):
        return self.base(x) + x @ self.a @ self.b
