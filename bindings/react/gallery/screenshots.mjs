// Builds the gallery and takes pictures of it, light and dark, narrow and wide: node gallery/screenshots.mjs [folder].
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build, preview } from "vite";

const configFile = fileURLToPath(new URL("vite.config.ts", import.meta.url));
const folder = process.argv[2] ?? fileURLToPath(new URL("../node_modules/.gallery-pictures", import.meta.url));
await mkdir(folder, { recursive: true });
await build({ configFile, logLevel: "warn" });
const server = await preview({ configFile, logLevel: "warn", preview: { port: 0 } });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" });
      page.on("console", (message) => message.type() === "error" && console.error(message.text()));
      page.on("pageerror", (error) => console.error(error));
      await page.goto(server.resolvedUrls.local[0]);
      await page.getByText("WebSocket").first().waitFor();
      await page.getByRole("row").nth(5).waitFor();
      await page.screenshot({ path: `${folder}/${colorScheme}-${width}.png`, fullPage: true });
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (beyond > 0) console.error(`${width}: the page is ${beyond} px too wide`);
      await page.close();
    }
  }
  console.log(folder);
} finally {
  await browser.close();
  await server.close();
}
