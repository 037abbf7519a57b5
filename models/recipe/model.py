"""The demo model: a decoder of the llama architecture in plain PyTorch, small enough to train on two cores."""

import dataclasses
import math

import torch
import torch.nn.functional as functional
from torch import nn

ROPE_BASE = 10_000.0
LONGEST_CONTEXT = 4096
NORM_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a model. The width of a head is `width / heads`; below 64 the engine falls to a slow path."""

    vocabulary: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    inner: int = 640

    @property
    def head_width(self):
        return self.width // self.heads


class Norm(nn.Module):
    """Root-mean-square norm with a gain."""

    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return functional.rms_norm(x, (x.shape[-1],), self.gain.to(x.dtype), NORM_EPSILON)


def rotate(x, cosine, sine):
    """Rotary positions on interleaved pairs, as llama.cpp has them for this architecture."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)


class Block(nn.Module):
    """Attention with grouped key and value heads, then a gated feed-forward layer."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_width
        self.attention_norm = Norm(shape.width)
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, kv_width, bias=False)
        self.value = nn.Linear(shape.width, kv_width, bias=False)
        self.attention_out = nn.Linear(shape.width, shape.width, bias=False)
        self.inner_norm = Norm(shape.width)
        self.gate = nn.Linear(shape.width, shape.inner, bias=False)
        self.up = nn.Linear(shape.width, shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.width, bias=False)

    def heads(self, x, count):
        batch, length, _ = x.shape
        return x.view(batch, length, count, self.shape.head_width).transpose(1, 2)

    def forward(self, x, cosine, sine):
        shape = self.shape
        h = self.attention_norm(x)
        query = rotate(self.heads(self.query(h), shape.heads), cosine, sine)
        key = rotate(self.heads(self.key(h), shape.kv_heads), cosine, sine)
        value = self.heads(self.value(h), shape.kv_heads)
        group = shape.heads // shape.kv_heads
        mixed = functional.scaled_dot_product_attention(
            query, key.repeat_interleave(group, 1), value.repeat_interleave(group, 1), is_causal=True
        )
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(x.shape))
        h = self.inner_norm(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    """Embedding, blocks, norm, and the embedding again as output."""

    def __init__(self, shape):
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.layers)])
        self.norm = Norm(shape.width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # What adds to the residual stream begins smaller, so that its sum over the layers does not grow.
                adds = name.endswith(("attention_out.weight", "down.weight"))
                nn.init.normal_(parameter, 0, 0.02 / (math.sqrt(2 * shape.layers) if adds else 1))
        positions = torch.arange(LONGEST_CONTEXT).float()[:, None]
        pairs = torch.arange(0, shape.head_width, 2).float()
        angles = positions * ROPE_BASE ** (-pairs / shape.head_width)
        self.register_buffer("cosine", torch.cos(angles), persistent=False)
        self.register_buffer("sine", torch.sin(angles), persistent=False)

    def forward(self, ids, targets=None):
        """Logits, or with targets the mean cross-entropy."""
        x = self.embedding(ids)
        length = ids.shape[1]
        cosine, sine = self.cosine[:length].to(x.dtype), self.sine[:length].to(x.dtype)
        for block in self.blocks:
            x = block(x, cosine, sine)
        logits = self.norm(x) @ self.embedding.weight.t().to(x.dtype)
        if targets is None:
            return logits
        return functional.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.reshape(-1))
