// The style sheet says the dark colours twice; they are the same, and none of the light ones is left out.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const css = readFileSync(resolve(import.meta.dirname, "../styles.css"), "utf8");
const values = (selector: string): Record<string, string> => {
  const block = css.slice(css.indexOf(`${selector} {`)).split("}", 1)[0] ?? "";
  return Object.fromEntries([...block.matchAll(/(--rp-[\w-]+): ([^;]+);/g)].map(([, name, value]) => [name, value]));
};

test("both dark themes are one", () => {
  const system = values(':where(:root:not([data-theme="light"]))');
  expect(Object.keys(system).length).toBeGreaterThan(15);
  expect(values(':where([data-theme="dark"])')).toEqual(system);
  expect(Object.keys(values(':where(:root, [data-theme="light"])'))).toEqual(Object.keys(system));
});

test("every custom property that is used is declared, or set by a component or a state", () => {
  const declared = new Set([...css.matchAll(/(--rp-[\w-]+):/g)].map(([, name]) => name));
  const used = [...css.matchAll(/var\((--rp-[\w-]+)/g)].map(([, name]) => name);
  expect(used.filter((name) => !declared.has(name) && name !== "--rp-part")).toEqual([]);
});
