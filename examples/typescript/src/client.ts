/** GraphQL over HTTP with nothing but `fetch`. */

import type { TypedDocumentString } from "./generated/graphql.js";

export type Ask = ReturnType<typeof connect>;

/** A function that sends one operation. `errors` are mistakes in it or faults of the server, so they are thrown. */
export function connect(url: string) {
  return async <Data, Variables>(
    document: TypedDocumentString<Data, Variables>,
    variables: Variables,
    accessToken?: string,
  ): Promise<Data> => {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/graphql-response+json",
        ...(accessToken && { Authorization: `Bearer ${accessToken}` }),
      },
      body: JSON.stringify({ query: document.toString(), variables }),
    });
    const { data, errors } = (await response.json()) as { data?: Data; errors?: { message: string }[] };
    if (errors || !data) throw new Error(errors?.map(({ message }) => message).join("\n") ?? `HTTP ${response.status}`);
    return data;
  };
}
