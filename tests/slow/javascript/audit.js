// Every GraphQL-over-HTTP audit of graphql-http, of which SHOULD and MAY count like MUST:
//   npm run audit http://127.0.0.1:8000/graphql

import { auditServer } from "graphql-http";

const [url] = process.argv.slice(2);
const audits = await auditServer({ url });
const passed = audits.filter(({ status }) => status === "ok");

for (const { id, name, status, reason = "" } of audits) console.log(status.padEnd(6), id, name, reason);
console.log(`${passed.length} of ${audits.length} audits pass.`);

if (passed.length < audits.length) process.exitCode = 1;
