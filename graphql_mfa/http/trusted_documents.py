"""The documents that may run where nothing else may: an allow list by hash."""

import json
from pathlib import Path


def load_documents(file: Path) -> dict[str, str]:
    """The documents of a manifest by their hash, as graphql-codegen's client preset or Apollo's generator writes it.

    Raises ValueError when it is none, and OSError when it can't be read.
    """
    try:
        documents = json.loads(file.read_text("utf-8"))
        if isinstance(documents, dict) and "operations" in documents:
            documents = {operation["id"]: operation["body"] for operation in documents["operations"]}
    except (ValueError, TypeError, KeyError):
        documents = None
    if not isinstance(documents, dict) or not all(isinstance(text, str) for text in documents.values()):
        raise ValueError(f"{file} is no manifest of trusted documents: a JSON object of documents by their hash")
    return {bare_hash(document_id): text for document_id, text in documents.items()}


def bare_hash(document_id: str) -> str:
    """What names a document: some tools write the algorithm before it (GraphQL over HTTP, appendix A)."""
    return document_id.removeprefix("sha256:")
