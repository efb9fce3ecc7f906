import type { Metadata, Viewport } from "next";
import type { ReactNode } from "react";

import "@ragpulse/react/styles.css";
import "./globals.css";

export const metadata: Metadata = { title: "RAG pipelines", description: "RAG pipelines, live" };
export const viewport: Viewport = {
  colorScheme: "light dark",
  themeColor: [
    { media: "(prefers-color-scheme: light)", color: "#f5f6f8" },
    { media: "(prefers-color-scheme: dark)", color: "#0e1015" },
  ],
};

export default function Layout({ children }: { readonly children: ReactNode }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
