// The entry: a connection to the hub that serves this page, and the page on it.
import { createRoot } from "react-dom/client";
import { Root } from "./root.js";
import { applyTheme, savedTheme } from "./lib/theme.js";
import "@ragpulse/react/styles.css";
import "./style/base.css";
import "./style/frame.css";
import "./style/pipeline.css";
import "./style/dialogs.css";
import "./style/narrow.css";

applyTheme(savedTheme());
const root = document.getElementById("root");
if (!root) throw new Error("the page has no element #root");
createRoot(root).render(<Root />);
