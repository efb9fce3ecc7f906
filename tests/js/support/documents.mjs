// Documents to ingest: a small valid PDF, a broken one, and folders of what people keep.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A PDF with one page per text, written by hand: no library, and every offset right. */
export function pdf(...pages) {
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    `<< /Type /Pages /Kids [${pages.map((_, n) => `${4 + n * 2} 0 R`).join(" ")}] /Count ${pages.length} >>`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
  ];
  pages.forEach((text, n) => {
    const lines = text.match(/.{1,80}(?:\s|$)/g) ?? [text];
    const shown = lines.map((line) => `(${line.replace(/[\\()]/g, "\\$&")}) Tj 0 -14 Td`).join("\n");
    const stream = `BT /F1 11 Tf 56 780 Td\n${shown}\nET`;
    objects.push(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents ${5 + n * 2} 0 R >>`,
      `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`,
    );
  });
  let out = "%PDF-1.4\n";
  const offsets = objects.map((object, n) => {
    const at = out.length;
    out += `${n + 1} 0 obj\n${object}\nendobj\n`;
    return at;
  });
  const start = out.length;
  out += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n`;
  out += offsets.map((at) => `${String(at).padStart(10, "0")} 00000 n \n`).join("");
  out += `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF\n`;
  return Buffer.from(out, "latin1");
}

/** A PDF of which the second half never came. */
export const brokenPdf = () => pdf("It begins like any other.").subarray(0, 120);

/** A folder of one's own, with these files; `remove` takes it away again. A folder that is named must not be there. */
export async function folder(files = {}, at = undefined) {
  const root = at ?? (await mkdtemp(join(tmpdir(), "ragpulse-documents-")));
  if (at) await mkdir(at);
  const write = async (path, content) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  };
  for (const [path, content] of Object.entries(files)) await write(path, content);
  return {
    root,
    write,
    path: (path) => join(root, path),
    remove: (path) => rm(path ? join(root, path) : root, { recursive: true, force: true }),
  };
}
