// Parses the Bicep files named on the command line with tree-sitter, and
// prints their syntax trees as one JSON object by file. A node is
// {type, field, line, text, source, nodes}: nodes are its named children; text
// is that of a leaf; source is how others are written, if in one line; field and
// line are left out where they say nothing.
// Whatever did not parse is in a node of type ERROR or MISSING.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Language, Parser } from 'web-tree-sitter';

const grammar = dirname(createRequire(import.meta.url).resolve('tree-sitter-bicep/package.json'));
await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load(join(grammar, 'tree-sitter-bicep.wasm')));

function plain(node, field) {
  const nodes = [];
  for (let i = 0; i < node.childCount; i++) {
    const child = node.child(i);
    const named = child.isNamed || child.isError || child.isMissing || child.type === 'existing';
    if (named) nodes.push(plain(child, node.fieldNameForChild(i) ?? undefined));
  }
  return {
    type: node.isMissing ? 'MISSING' : node.type,
    field,
    line: node.startPosition.row + 1,
    text: nodes.length ? undefined : node.text,
    source: nodes.length && !node.text.includes('\n') ? node.text : undefined,
    nodes: nodes.length ? nodes : undefined,
  };
}

const trees = {};
for (const file of process.argv.slice(2)) trees[file] = plain(parser.parse(readFileSync(file, 'utf8')).rootNode);
process.stdout.write(JSON.stringify(trees));
