import optimizeLocales from "@react-aria/optimize-locales-plugin";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `base: "./"`: the server writes the prefix under which it is mounted into index.html (see README.md).
// For `npm run dev` the API is another process: HOLDFAST_API=http://127.0.0.1:8321 npm run dev
const api = process.env.HOLDFAST_API ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "./",
  // The component library brings its own words in thirty languages; the catalogue of this dashboard is English.
  plugins: [{ ...optimizeLocales.vite({ locales: ["en-US"] }), enforce: "pre" }, react()],
  build: {
    // Where the package has its pages; tools/dashboard.py builds beside them and puts them there file by file.
    outDir: "../src/holdfast/api/static",
    emptyOutDir: true,
    target: "es2022",
    // A file or font below a size would become a data: address, which the content security policy forbids to scripts.
    assetsInlineLimit: 0,
    sourcemap: false,
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/api": { target: api, changeOrigin: true } } },
});
