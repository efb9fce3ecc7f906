// Says how large the page is, and fails where its script is larger than it may be.
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** The plugin; the limit is in bytes of gzip. */
export function sizes(limit: number): Plugin {
  return {
    name: "ragpulse-sizes",
    apply: "build",
    enforce: "post",
    generateBundle(_, bundle) {
      for (const [name, file] of Object.entries(bundle)) {
        const source = file.type === "chunk" ? file.code : file.source;
        const packed = gzipSync(source).byteLength;
        console.log(`${name}  ${(Buffer.byteLength(source) / 1000).toFixed(1)} kB, gzip ${(packed / 1000).toFixed(1)} kB`);
        if (file.type === "chunk" && packed > limit) this.error(`${name} is larger than ${limit / 1000} kB of gzip`);
      }
    },
  };
}
