"use strict";

// What the newest answers brought, by placeholder name. In memory only: closing the page forgets it.
const known = new Map();
const recoveryCodes = []; // of the newest list; each is filled in once

const enrollment = document.getElementById("enrollment");
enrollment.querySelector("button").addEventListener("click", () => { enrollment.hidden = true; });

function learn(key, value) {
  if (key === "challenge" && value?.token) known.set("challengeToken", value.token);
  if (key === "device" && value?.id) known.set("deviceId", value.id);
  if (key === "accessToken" && value) known.set(key, value);
  if (key === "refreshToken") known.set(key, value ?? ""); // null: it is in a cookie
  // Signed in, or the second app confirmed: it has been scanned.
  if ((key === "accessToken" && value) || value === "TotpDeviceConfirmed") enrollment.hidden = true;
  if (key === "secret") enrollment.querySelector("span").textContent = value;
  if (key === "recoveryCodes" && value) recoveryCodes.splice(0, recoveryCodes.length, ...value);
  if (key === "qrCode" && String(value).startsWith("data:image/")) {
    enrollment.querySelector("img").src = value;
    enrollment.hidden = false;
    return `${value.slice(0, 18)}… (drawn below)`; // it has 3,000 characters
  }
  return value;
}

const placeholder = /\{\{(\w+)(?:\|([^}]*))?\}\}/g; // {{name}}, or {{name|what to send while it is not known}}

function fill(json) {
  return JSON.parse(JSON.stringify(json ?? {}), (_key, value) =>
    typeof value === "string" ? value.replace(placeholder, (text, name, other) => find(name) ?? other ?? text) : value);
}

function find(name) {
  return name === "recoveryCode" ? recoveryCodes.shift() : known.get(name);
}

// Our own instead of GraphiQL.createFetcher: that one asks for multipart answers, which the API does not give.
async function fetcher({ query, operationName, variables }, { headers } = {}) {
  const sent = fill(variables);
  const [missing] = JSON.stringify(sent).match(placeholder) ?? [];
  if (missing) {
    return { errors: [{ message: `Nothing was sent: ${missing} is not known. Run the tabs before; a reload forgets it.` }] };
  }
  const filled = Object.entries(fill(headers)).filter(([, value]) => !String(value).match(placeholder));
  const response = await fetch(location.pathname, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json",
      "GraphQL-Require-Preflight": "true", // needed where the refresh token is in a cookie
      ...Object.fromEntries(filled),
    },
    body: JSON.stringify({ query, operationName, variables: sent }),
  });
  const answer = JSON.parse(await response.text(), learn);
  if (answer.data?.registerUser?.__typename === "RegisterUserSuccess") {
    for (const [name, value] of Object.entries(sent.input ?? {})) known.set(name, value);
  }
  const { changePassword, resetPassword } = answer.data ?? {};
  if ((changePassword ?? resetPassword)?.__typename === "PasswordChanged") known.set("password", sent.input.newPassword);
  return answer;
}

// Passwords and codes are typed into the variables, which GraphiQL stores with its tabs and its history. In the session
// storage they are gone with the browser tab; in the local storage, GraphiQL's default, they would stay for good.
const storage = sessionStorage;

// A link's operation gets a tab of its own, and runs when somebody presses the button.
const address = new URLSearchParams(location.search);
const linked = address.has("query") ? { query: address.get("query"), variables: address.get("variables") ?? "" } : null;

// GraphiQL shows the first default tab's query, but takes its variables from the storage.
if (!storage.getItem("graphiql:tabState")) storage.setItem("graphiql:variables", examples[0].variables);

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    storage,
    ...linked,
    defaultTabs: linked ? [linked, ...examples] : examples,
    // For every tab, also after a reload: a tab's own headers are not stored.
    defaultHeaders: JSON.stringify({ Authorization: "Bearer {{accessToken}}" }, null, 2),
    shouldPersistHeaders: false,
    defaultEditorToolsVisibility: true,
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
  }, React.createElement(GraphiQL.Footer, null, React.createElement("div", { ref: (place) => place?.append(enrollment) }))),
);
