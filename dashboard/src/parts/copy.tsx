// A command line that can be copied.
import { type ReactElement, useEffect, useState } from "react";
import { Icon } from "./icons.js";

export function Command({ text }: { text: string }): ReactElement {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [isCopied]);
  // Only pages from safe origins may write to the clipboard; the text can be selected anyhow.
  const canCopy = "clipboard" in navigator;
  return (
    <div className="command">
      <pre tabIndex={0}><code>{text}</code></pre>
      {canCopy && (
        <button type="button" className="icon-button" aria-label={isCopied ? "Copied" : "Copy the command"} title="Copy"
          onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true), () => {})}>
          <Icon name={isCopied ? "completed" : "copy"} />
        </button>
      )}
    </div>
  );
}
