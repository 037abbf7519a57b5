import { go } from "./go.ts";
import { java } from "./java.ts";
import { python } from "./python.ts";
import type { Language, Recipe } from "./recipe.ts";
import { rust } from "./rust.ts";
import { typescript } from "./typescript.ts";

/** The recipe of each language. */
export const RECIPES: Readonly<Record<Language, Recipe>> = { python, go, java, rust, typescript };
