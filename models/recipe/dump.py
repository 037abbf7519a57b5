"""Writes the weights of a checkpoint as plain numbers, with a list of what lies where, for to-gguf.mjs."""

import argparse
import json

import torch

# Names in the file format, by names in model.py.
BLOCK_NAMES = {
    "attention_norm.gain": "attn_norm",
    "query.weight": "attn_q",
    "key.weight": "attn_k",
    "value.weight": "attn_v",
    "attention_out.weight": "attn_output",
    "inner_norm.gain": "ffn_norm",
    "gate.weight": "ffn_gate",
    "up.weight": "ffn_up",
    "down.weight": "ffn_down",
}


def named_weights(weights, layers):
    yield "token_embd.weight", weights["embedding.weight"]
    yield "output_norm.weight", weights["norm.gain"]
    for layer in range(layers):
        for own, name in BLOCK_NAMES.items():
            yield f"blk.{layer}.{name}.weight", weights[f"blocks.{layer}.{own}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="checkpoint.pt")
    parser.add_argument("--weights", default="weights.bin", help="little-endian f32")
    parser.add_argument("--list", default="weights.json")
    options = parser.parse_args()
    checkpoint = torch.load(options.checkpoint, map_location="cpu")
    tensors = []
    with open(options.weights, "wb") as file:
        for name, tensor in named_weights(checkpoint["weights"], checkpoint["shape"]["layers"]):
            values = tensor.float().numpy().astype("<f4")
            tensors.append({"name": name, "shape": list(values.shape)})
            file.write(values.tobytes())
    with open(options.list, "w", encoding="utf-8") as file:
        json.dump({"shape": checkpoint["shape"], "tensors": tensors}, file)
    print(f"{len(tensors)} tensors, validation loss {checkpoint['validation_loss']:.4f}")


if __name__ == "__main__":
    main()
