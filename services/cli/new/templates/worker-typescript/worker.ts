import type { TextEngine } from "stator/engine";

export default {
  name: "shout",
  async *generate(prompt) {
    for (const word of prompt.split(/\s+/)) yield `${word.toUpperCase()} `;
  },
} satisfies TextEngine;
