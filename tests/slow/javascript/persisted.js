// Two queries and a mutation by a client that sends hashes first. Prints their outcomes, and what was sent:
//   node persisted.js apollo|urql GET|POST http://127.0.0.1:8000/graphql

import { createHash } from "node:crypto";

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

const [name, method, url] = process.argv.slice(2);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const query = gql("query Policy { policy { issuer } }");
const mutation = gql("mutation Logout { logout { __typename } }");

const sent = [];
async function recordingFetch(input, { method = "GET", body, ...options }) {
  const { searchParams } = new URL(input);
  const { query, extensions } = body
    ? JSON.parse(body)
    : { query: searchParams.get("query"), extensions: JSON.parse(searchParams.get("extensions")) };
  sent.push([method, query && "query", extensions?.persistedQuery && "hash"].filter(Boolean).join(" "));
  return fetch(input, { method, body, ...options });
}

const clients = {
  apollo() {
    const link = ApolloLink.from([
      new PersistedQueryLink({ sha256, useGETForHashedQueries: method === "GET" }),
      new HttpLink({ uri: url, fetch: recordingFetch }),
    ]);
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    return {
      query: async () => (await client.query({ query, fetchPolicy: "no-cache" })).data,
      mutate: async () => (await client.mutate({ mutation, fetchPolicy: "no-cache" })).data,
    };
  },
  urql() {
    const exchange = persistedExchange({
      preferGetForPersistedQueries: method === "GET" && "force",
      enableForMutation: true,
      generateHash: async (text) => sha256(text),
    });
    const client = new Client({ url, fetch: recordingFetch, preferGetMethod: false, exchanges: [exchange, fetchExchange] });
    const dataOf = ({ data, error }) => {
      if (error) throw error;
      return data;
    };
    return {
      query: async () => dataOf(await client.query(query, {}).toPromise()),
      mutate: async () => dataOf(await client.mutation(mutation, {}).toPromise()),
    };
  },
};

async function outcome(operation) {
  try {
    return await operation();
  } catch (error) {
    return error.message;
  }
}

const client = clients[name]();
const outcomes = [await outcome(client.query), await outcome(client.query), await outcome(client.mutate)];
console.log(JSON.stringify({ outcomes, sent }));
