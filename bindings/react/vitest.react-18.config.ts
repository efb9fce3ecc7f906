// The same tests on React 18, which is installed for that in ../react-18. What brings its own import of React is loaded
// by Vite, so that it gets that one too.
import { createRequire } from "node:module";
import { mergeConfig } from "vitest/config";

import base from "./vitest.config.js";

const require = createRequire(new URL("../react-18/package.json", import.meta.url));
const alias = ["react/jsx-runtime", "react/jsx-dev-runtime", "react-dom/client", "react-dom/server", "react-dom/test-utils", "react-dom", "react"]
  .map((name) => ({ find: new RegExp(`^${name}$`), replacement: require.resolve(name) }));

// Its main file is CommonJS, whose imports Vite leaves alone.
const library = require.resolve("@testing-library/react").replace(/index\.js$/, "@testing-library/react.esm.js");
alias.push({ find: /^@testing-library\/react$/, replacement: library });

export default mergeConfig(base, {
  resolve: { alias },
  test: { exclude: ["test/readme.test.ts", "test/styles.test.ts", "**/node_modules/**"], env: { REACT: "18" }, server: { deps: { inline: [/@testing-library\/react/, /@tanstack\/react-virtual/] } } },
});
