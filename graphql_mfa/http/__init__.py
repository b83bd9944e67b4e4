"""GraphQL over HTTP: the endpoint, the checks of a document, cookies, headers and the request log."""
