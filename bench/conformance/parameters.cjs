// Prints the documented parameters of Stripe's operations as JSON: the tree of each TypeScript type that is named in the
// arguments. A node is {kind, optional, empty, values, item, fields}.
"use strict";

const path = require("path");
const ts = require(path.join(process.cwd(), "node_modules/typescript"));

// Deeper parameters are left out: none of the shop's operations has any.
const MAX_DEPTH = 8;

// A type that the SDK does not export by its name.
const UNNAMED = {
  "TestHelpers.ConfirmationTokenCreateParams":
    "NonNullable<Parameters<Stripe['testHelpers']['confirmationTokens']['create']>[0]>",
};

const file = path.join(process.cwd(), "parameters.ts");
const names = process.argv.slice(2);
const source = `import Stripe from 'stripe';\n${names.map((name, i) => `export declare const p${i}: ${UNNAMED[name] || `Stripe.${name}`};`).join("\n")}\n`;
const options = {
  strict: true,
  skipLibCheck: true,
  module: ts.ModuleKind.Node16,
  moduleResolution: ts.ModuleResolutionKind.Node16,
};
const host = ts.createCompilerHost(options);
const read = host.getSourceFile;
host.getSourceFile = (name, ...more) =>
  path.resolve(name) === file ? ts.createSourceFile(name, source, ts.ScriptTarget.ES2022, true) : read(name, ...more);
const exists = host.fileExists;
host.fileExists = (name) => path.resolve(name) === file || exists(name);
const program = ts.createProgram([file], options, host);
const checker = program.getTypeChecker();

function isText(type) {
  return !!(type.flags & ts.TypeFlags.String) || (type.isIntersection() && type.types.some((each) => each.flags & ts.TypeFlags.String));
}

function described(type, depth) {
  let parts = type.isUnion() ? type.types : [type];
  // Emptyable<T> is null | "" | T, of which the compiler drops the "" if T is string.
  const empty = parts.some((each) => each.flags & ts.TypeFlags.Null);
  parts = parts.filter((each) => !(each.flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null)));
  parts = parts.filter((each) => !(each.isStringLiteral() && each.value === ""));
  const literals = parts.filter((each) => each.isStringLiteral()).map((each) => each.value);
  const objects = parts.filter((each) => each.flags & ts.TypeFlags.Object);
  if (literals.length) return { kind: "enum", empty, values: literals, open: parts.some(isText) };
  if (objects.length) {
    const object = objects[0];
    const symbol = object.getSymbol() && object.getSymbol().getName();
    if (symbol === "Decimal") return { kind: "decimal", empty };
    if (checker.isArrayType(object)) {
      return { kind: "array", empty, item: described(checker.getTypeArguments(object)[0], depth + 1) };
    }
    if (object.getStringIndexType() && !object.getProperties().length) {
      const value = object.getStringIndexType();
      return { kind: "map", empty, item: depth < MAX_DEPTH ? described(value, depth + 1) : { kind: "text" } };
    }
    const scalar = parts.find((each) => !(each.flags & ts.TypeFlags.Object));
    if (symbol === "Uint8Array" || symbol === "Buffer" || symbol === "FileData") return { kind: "file", empty };
    const fields = {};
    if (depth < MAX_DEPTH) {
      for (const property of object.getProperties()) {
        const declared = checker.getTypeOfSymbol(property);
        fields[property.getName()] = {
          ...described(declared, depth + 1),
          optional: !!(property.flags & ts.SymbolFlags.Optional),
        };
      }
    }
    return { kind: "object", empty, fields, scalar: !!scalar };
  }
  if (parts.length && parts.every((each) => each.flags & ts.TypeFlags.BooleanLike)) return { kind: "boolean", empty };
  if (parts.some((each) => each.flags & ts.TypeFlags.NumberLike)) return { kind: "number", empty };
  return { kind: "text", empty };
}

// A type that is not found would have no parameters at all.
const wrong = program.getSemanticDiagnostics(program.getSourceFile(file));
if (wrong.length) {
  process.stderr.write(wrong.map((each) => ts.flattenDiagnosticMessageText(each.messageText, "\n")).join("\n"));
  process.exit(1);
}
const found = {};
const module_ = checker.getSymbolAtLocation(program.getSourceFile(file));
checker.getExportsOfModule(module_).forEach((symbol) => {
  found[names[Number(symbol.getName().slice(1))]] = described(checker.getTypeOfSymbol(symbol), 0);
});
process.stdout.write(JSON.stringify(found));
