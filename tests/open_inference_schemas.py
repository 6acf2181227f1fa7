"""What version 2 of the Open Inference Protocol says of its JSON, written down as JSON Schema.

After the components of `specification/protocol/open_inference_rest.yaml` and the text of
`inference_rest.md`, both of https://github.com/kserve/open-inference-protocol, whose names they keep.
"""

from typing import Any

Schema = dict[str, Any]


def _of(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these fields; the protocol allows others beside them."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


STRING: Schema = {"type": "string"}
PARAMETERS: Schema = {"parameters": {"type": "object"}}
TENSOR_DATA: Schema = {"$ref": "#/$defs/tensor_data"}
METADATA_TENSOR = _of({"name": STRING, "datatype": STRING, "shape": _list_of({"type": "integer"})})
RESPONSE_OUTPUT = _of({**METADATA_TENSOR["properties"], "data": TENSOR_DATA}, PARAMETERS)

SCHEMAS: dict[str, Schema] = {
    "live_server_response": _of({"live": {"type": "boolean"}}),
    "ready_server_response": _of({"ready": {"type": "boolean"}}),
    "ready_model_response": _of({"name": STRING, "ready": {"type": "boolean"}}),
    "metadata_server_response": _of({"name": STRING, "version": STRING, "extensions": _list_of(STRING)}),
    "metadata_model_response": _of(
        {"name": STRING, "platform": STRING, "inputs": _list_of(METADATA_TENSOR), "outputs": _list_of(METADATA_TENSOR)},
        {"versions": _list_of(STRING)},
    ),
    "inference_response": {
        **_of(
            {"model_name": STRING, "outputs": _list_of(RESPONSE_OUTPUT)},
            {"model_version": STRING, "id": STRING, **PARAMETERS},
        ),
        "$defs": {
            "tensor_data": _list_of({"anyOf": [TENSOR_DATA, {"type": "number"}, STRING, {"type": "boolean"}]}),
        },
    },
    # One schema under three names: of server metadata, model metadata and inference.
    "error_response": _of({"error": STRING}),
}
