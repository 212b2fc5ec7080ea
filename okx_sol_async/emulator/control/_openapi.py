"""The OpenAPI document of the control API, made from its operations."""

from __future__ import annotations

import re
from typing import Any

from okx_sol_async.emulator.control._operations import OPERATIONS, Operation


def openapi_document(prefix: str) -> dict[str, object]:
    """Return the document; the paths begin with ``prefix``."""
    paths: dict[str, dict[str, object]] = {}
    for operation in OPERATIONS:
        paths.setdefault(prefix + operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "okx-sol emulator, control API", "version": "1"},
        "paths": paths,
    }


def _described(operation: Operation) -> dict[str, object]:
    text = {"type": "string"}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    parameters += [{"name": name, "in": "query", "required": False, "schema": text} for name in operation.query]
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {}}},
            "400": {"description": "A field is wrong; `field` names it", "content": {"application/json": {}}},
        },
    }
    if operation.method != "GET" and operation.fields:
        properties = {name: {"type": kind} for name, kind in operation.fields.items()}
        schema = {"type": "object", "properties": properties}
        described["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return described
