import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: "src/operations.ts",
  importExtension: ".js",
  config: { scalars: { DateTime: "string", WebAuthnJSON: "unknown" }, strictScalars: true, useTypeImports: true },
  generates: {
    "src/generated/": {
      preset: "client",
      config: { documentMode: "string" }, // a document is its text: no parser at run time
      presetConfig: {
        fragmentMasking: false,
        // Writes persisted-documents.json, the manifest for a server with trusted documents.
        persistedDocuments: { hashAlgorithm: "sha256" },
      },
    },
    // Which types `... on UserError` and `... on SignInSuccess` match. A normalising cache can't know that by itself:
    //   import generated from "./generated/possible-types.js";
    //   new InMemoryCache({ possibleTypes: generated.possibleTypes });
    "src/generated/possible-types.ts": { plugins: ["fragment-matcher"] },
  },
};

export default config;
