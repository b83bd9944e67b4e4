// The recommended schema rules of @graphql-eslint over schema.graphql.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import graphql from "@graphql-eslint/eslint-plugin";
import { buildSchema, isUnionType } from "graphql";

const schema = fileURLToPath(new URL("../../../schema.graphql", import.meta.url));
const types = Object.values(buildSchema(readFileSync(schema, "utf8")).getTypeMap());
const outcomes = new Set(types.filter(isUnionType).flatMap((union) => union.getTypes().map(({ name }) => name)));
const values = ["AuthPolicy", "Challenge", "FieldError", "PasskeySignals", "TokenPair", "TotpEnrollment"];

export default [
  {
    files: ["**/*.graphql"],
    languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema } } },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,

      // An `id` is for what a client fetches again and caches by itself. The outcomes of mutations and the values below
      // belong to the one answer that they came in or, the policy, to the server. Any other type needs its `id`.
      "@graphql-eslint/strict-id-in-types": ["error", { exceptions: { types: [...outcomes, ...values] } }],

      // The specification defines @oneOf, and says what it means.
      "@graphql-eslint/require-description": [
        "error",
        { types: true, rootField: true, DirectiveDefinition: true, ignoredSelectors: ['[type=DirectiveDefinition][name.value="oneOf"]'] },
      ],

      // It takes `User.username` for a stutter like `User.userId`, but a username is a word of its own, and the name is
      // fixed: clients rely on it. The rule has no exceptions.
      "@graphql-eslint/no-typename-prefix": "off",
    },
  },
];
