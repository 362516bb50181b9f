// Every word that people read stands in the catalogue, src/text: this finds those that do not.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const READ_BY_PEOPLE = new Set(["label", "title", "placeholder", "alt", "aria-label", "about", "name", "verb"]);
const LETTERS = /\p{L}{2,}/u;
/** Attributes with these names that are not for people: names of fields of forms and of inputs. */
const TECHNICAL = /^[a-z][a-z0-9_-]*$/;

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (entry.name.endsWith(".tsx")) yield path;
  }
}

const found = [];
for (const path of sources("src")) {
  const file = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const tell = (node, words) => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${path}:${line + 1}: ${JSON.stringify(words.trim())} belongs into src/text`);
  };
  const visit = (node) => {
    if (ts.isJsxText(node) && LETTERS.test(node.text)) tell(node, node.text);
    if (ts.isJsxAttribute(node) && node.initializer && ts.isStringLiteral(node.initializer)) {
      const words = node.initializer.text;
      if (READ_BY_PEOPLE.has(node.name.getText()) && LETTERS.test(words) && !TECHNICAL.test(words)) tell(node, words);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
}
if (found.length > 0) {
  process.stderr.write(`${found.join("\n")}\n`);
  process.exit(1);
}
