// Writes assets/licences.txt: name, version and licence of every package of which the page holds code.
//
// What may come in: what rollup has bundled. What it never does: leave a package without a licence text unsaid; the build
// fails then.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/** The folder of the package that a module belongs to, or null for the page's own. */
const packageOf = (module: string): string | null =>
  // Rollup marks modules of its own making by a null.
  /^.*\/node_modules\/(?:@[^/]+\/)?[^/?]+/.exec(module.replace("\0", ""))?.[0] ?? null;

function textOf(folder: string): string {
  const file = readdirSync(folder).sort().find((name) => /^(licen[cs]e|copying)(\.\w+)?$/i.test(name));
  return file ? readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim() : "";
}

/** The plugin. */
export function licences(): Plugin {
  return {
    name: "ragpulse-licences",
    apply: "build",
    generateBundle(_, bundle) {
      const modules = Object.values(bundle).flatMap((file) => (file.type === "chunk" ? Object.entries(file.modules) : []));
      const bundled = modules.filter(([, { renderedLength }]) => renderedLength > 0).map(([id]) => packageOf(id));
      const texts = new Map<string, string>();
      for (const folder of new Set(bundled)) {
        if (folder === null) continue;
        const { name, version, license = "" } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
        const text = textOf(folder);
        if (!text && license !== "MIT") this.error(`${name} ${version} comes without the text of its licence (${license})`);
        texts.set(`${name} ${version}`, text || "MIT; the package holds no further text.");
      }
      const parts = [...texts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([title, text]) => `${title}\n\n${text}\n`);
      const head = "The page of RagPulse holds code of these packages, each under its own licence.\n";
      this.emitFile({ type: "asset", fileName: "assets/licences.txt", source: [head, ...parts].join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}
