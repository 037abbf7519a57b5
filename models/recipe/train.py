"""Trains the demo model on the encoded text and keeps the weights in a checkpoint.

The defaults are those of the model in the repository: 3,821 steps of 10 x 512 tokens, 34 minutes on two cores. On a
machine that does other work as well, one thread with OMP_WAIT_POLICY=passive is many times faster than two that spin.
"""

import argparse
import dataclasses
import math
import time

import numpy
import torch
from torch import nn

from model import Model, Shape

VALIDATION_TOKENS = 200_000
VALIDATION_BATCHES = 4
WARM_UP_STEPS = 60
LAST_RATE = 0.05


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ids", default="ids.bin")
    parser.add_argument("--out", default="checkpoint.pt")
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--inner", type=int, default=640)
    parser.add_argument("--context", type=int, default=512, help="tokens of one training sequence")
    parser.add_argument("--batch", type=int, default=10, help="sequences of one step")
    parser.add_argument("--steps", type=int, default=3821)
    parser.add_argument("--rate", type=float, default=2.5e-3, help="highest learning rate")
    parser.add_argument("--seconds", type=float, default=math.inf, help="end the schedule by then")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def draw_batch(ids, count, length, chance):
    """Sequences from random places, and the same moved on by one token."""
    starts = chance.integers(0, len(ids) - length - 1, count)
    rows = torch.from_numpy(numpy.stack([ids[at : at + length + 1] for at in starts]).astype(numpy.int64))
    return rows[:, :-1], rows[:, 1:]


def validation_loss(model, ids, length):
    chance = numpy.random.default_rng(5)
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        losses = [model(*draw_batch(ids, 16, length, chance)).item() for _ in range(VALIDATION_BATCHES)]
    model.train()
    return sum(losses) / len(losses)


def rate_at(step, done, highest):
    """Warm-up, then half a cosine down to a twentieth; `done` is the share of the schedule that is over."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return highest * warm * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def optimizer_of(model, rate):
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    gains = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": gains, "weight_decay": 0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))


def main():
    options = parse_options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    shape = Shape(
        options.vocabulary, options.width, options.layers, options.heads, options.kv_heads, options.inner
    )
    ids = numpy.fromfile(options.ids, dtype=numpy.uint16)
    held_out = min(VALIDATION_TOKENS, len(ids) // 10)
    training, validation = ids[:-held_out], ids[-held_out:]
    model = Model(shape)
    print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters, {len(training)} tokens", flush=True)
    optimizer = optimizer_of(model, options.rate)
    chance = numpy.random.default_rng(0)
    began = time.time()
    step = 0
    for step in range(options.steps):
        done = max(step / options.steps, (time.time() - began) / options.seconds)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, done, options.rate)
        inputs, targets = draw_batch(training, options.batch, options.context, chance)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(inputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step}, loss {loss.item():.4f}, {time.time() - began:.0f} s", flush=True)
    loss = validation_loss(model, validation, options.context)
    state = {"shape": dataclasses.asdict(shape), "weights": model.state_dict(), "validation_loss": loss}
    torch.save(state, options.out)
    print(f"validation loss {loss:.4f} after {step + 1} steps and {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
