"""JSON Schemas of the messages of the Open Inference Protocol, version 2.

After the components of `specification/protocol/open_inference_rest.yaml` and the text of
`inference_rest.md`, both of https://github.com/kserve/open-inference-protocol, whose names they keep.
Where the two differ, the stricter is here: the text asks for `inputs` and `outputs` of a model's metadata.
The text gives readiness as `live`, by mistake: `ready`, as KServe's own client and servers have it, is here.
"""

from typing import Any

Schema = dict[str, Any]


def _of(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these fields; the protocol allows further fields."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


STRING: Schema = {"type": "string"}
PARAMETERS: Schema = {"parameters": {"type": "object"}}
TENSOR_DATA: Schema = {"$ref": "#/$defs/tensor_data"}
DEFINITIONS: Schema = {
    "$defs": {"tensor_data": _list_of({"anyOf": [TENSOR_DATA, {"type": "number"}, STRING, {"type": "boolean"}]})}
}
METADATA_TENSOR = _of({"name": STRING, "datatype": STRING, "shape": _list_of({"type": "integer"})})
# A tensor with its data, of a request as of an answer; binary data is an extension's, not the protocol's.
TENSOR = _of({**METADATA_TENSOR["properties"], "data": TENSOR_DATA}, PARAMETERS)

SCHEMAS: dict[str, Schema] = {
    "live_server_response": _of({"live": {"type": "boolean"}}),
    "ready_server_response": _of({"ready": {"type": "boolean"}}),
    "ready_model_response": _of({"name": STRING, "ready": {"type": "boolean"}}),
    "metadata_server_response": _of({"name": STRING, "version": STRING, "extensions": _list_of(STRING)}),
    "metadata_model_response": _of(
        {"name": STRING, "platform": STRING, "inputs": _list_of(METADATA_TENSOR), "outputs": _list_of(METADATA_TENSOR)},
        {"versions": _list_of(STRING)},
    ),
    "inference_request": {
        **_of(
            {"inputs": _list_of(TENSOR)},
            {"id": STRING, "outputs": _list_of(_of({"name": STRING}, PARAMETERS)), **PARAMETERS},
        ),
        **DEFINITIONS,
    },
    "inference_response": {
        **_of(
            {"model_name": STRING, "outputs": _list_of(TENSOR)},
            {"model_version": STRING, "id": STRING, **PARAMETERS},
        ),
        **DEFINITIONS,
    },
    # One schema under three names: of server metadata, model metadata and inference. (For the last, its OpenAPI
    # forgets to require `error`.)
    "error_response": _of({"error": STRING}),
}
