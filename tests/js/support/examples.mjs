// The examples of a guide: the fenced blocks of its pages, and what each is.
//
// What may come in: Markdown. What it never does: let an example pass that says neither where it belongs nor what it is.
//
//   ```tsx file=app/page.tsx         a file of the reader's project; all of them are compiled together
//   ```ts file=x.ts run              the same, and it is run by Node.js against a live hub; a ```text output after it is
//                                    what it prints
//   ```tsx file=x.test.tsx vitest    the same, and it is run by Vitest
//   ```ts from=examples/x/y.ts       an excerpt, word for word, of a file of this repository
//   ```sh                            commands; see guides.test.js for which
//   ```json, ```text                 data, and what a person or a program says
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const LANGUAGES = new Set(["ts", "tsx", "sh", "json", "text"]);

/** One fenced block. */
export class Example {
  constructor(page, line, language, words, text) {
    this.where = `${page}:${line}`;
    this.language = language;
    this.text = text;
    this.file = words.find((word) => word.startsWith("file="))?.slice(5);
    this.from = words.find((word) => word.startsWith("from="))?.slice(5);
    this.words = words.filter((word) => !/^(file|from)=/.test(word));
    /** What it prints, if the next block says so. */
    this.output = null;
  }

  is(word) {
    return this.words.includes(word);
  }
}

/** The examples of a page, in order. Throws for one that says too little of itself. */
export function examplesOf(page, markdown) {
  const examples = [];
  let open = null;
  markdown.split("\n").forEach((line, index) => {
    const fence = /^(`{3,})(.*)$/.exec(line);
    if (open && fence && fence[1].length >= open.fence.length && fence[2] === "") {
      const { language, words, at, lines } = open;
      const example = new Example(page, at, language, words, `${lines.join("\n")}\n`);
      open = null;
      if (!LANGUAGES.has(language)) throw new Error(`${example.where}: a block of "${language}"; there are ${[...LANGUAGES].join(", ")}`);
      if (/^tsx?$/.test(language) && !example.file === !example.from) {
        throw new Error(`${example.where}: code belongs to a file: file=… of the reader's project, or from=… of this repository`);
      }
      if (example.is("output")) examples.at(-1).output = example.text;
      examples.push(example);
    } else if (open) {
      open.lines.push(line);
    } else if (fence) {
      const [language = "", ...words] = fence[2].trim().split(/\s+/);
      open = { fence: fence[1], language, words, at: index + 1, lines: [] };
    }
  });
  if (open) throw new Error(`${page}:${open.at}: a block that does not end`);
  return examples;
}

/** The examples of all pages of a guide. */
export async function examplesIn(folder) {
  const pages = (await readdir(`${ROOT}${folder}`)).filter((name) => name.endsWith(".md")).sort();
  const examples = [];
  for (const page of pages) examples.push(...examplesOf(`${folder}/${page}`, await readFile(`${ROOT}${folder}/${page}`, "utf8")));
  return { pages, examples };
}
