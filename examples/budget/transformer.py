"""A small transformer that reads a sequence of tokens."""

from torch import Tensor, nn


class Reader(nn.Module):
    """Embedding, encoder layers, and a head whose weight is the embedding's."""

    def __init__(self, vocabulary: int = 1000, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(width, nhead=4, dim_feedforward=4 * width, batch_first=True)
            for _ in range(layers)
        )
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """(N, length) token numbers to (N, length, vocabulary)."""
        x = self.embedding(ids)
        for layer in self.encoder:
            x = layer(x)
        return self.head(x)
