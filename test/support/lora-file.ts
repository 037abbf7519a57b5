import { f32Field, stringField, writeGguf } from "#lib/text/gguf-write";

/** A GGUF file with a LoRA of rank 1 on every query matrix of the demo model (256 × 256). */
export function loraFile(scale: number): Uint8Array {
  const fields = [
    stringField("general.type", "adapter"),
    stringField("general.architecture", "llama"),
    stringField("adapter.type", "lora"),
    f32Field("adapter.lora.alpha", 1),
  ];
  const tensors = [0, 1, 2, 3].flatMap((layer) =>
    [
      { half: "lora_a", dimensions: [256, 1] },
      { half: "lora_b", dimensions: [1, 256] },
    ].map(({ half, dimensions }) => {
      const values = Float32Array.from({ length: 256 }, (_, at) => scale * Math.sin(at * 0.7 + layer));
      const name = `blk.${layer}.attn_q.weight.${half}`;
      return { name, dimensions, elementType: 0, data: new Uint8Array(values.buffer) };
    }),
  );
  return writeGguf(fields, tensors);
}
