#!/usr/bin/env python3
"""Makes the models that infer's tests run, and the answers they must give.

Needs numpy and onnx. The answers are computed here with numpy in float64, not with ONNX Runtime:
pixel-wise 3→4 convolution, ReLU, mean over the picture, a 4→3 matrix.
"""
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
SIZE, CLASSES = 8, 3
rng = np.random.default_rng(1)
W = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
B = rng.normal(size=4).astype(np.float32)
M = rng.normal(size=(4, CLASSES)).astype(np.float32)


def model(batch, nodes=None, weights={"w": W, "b": B, "m": M}):
    nodes = nodes or [
        helper.make_node("Conv", ["input", "w", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(a, n) for n, a in weights.items()])
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(m)
    return m


def answer(x):
    y = np.einsum("oc,nchw->nohw", W[:, :, 0, 0].astype(np.float64), x) + B[None, :, None, None]
    return np.maximum(y, 0).mean(axis=(2, 3)) @ M


def slow():
    """A loop that runs long enough to be cancelled: about a second."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, []),
         helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])])
    w = np.zeros((3, 3, 3, 3), np.float32)
    return model("N", [
        helper.make_node("Loop", ["m", "", "input"], ["last"], body=body),
        helper.make_node("GlobalAveragePool", ["last"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ], {"w": w, "m": np.array(200000, np.int64)})


onnx.save(model("N"), HERE / "tiny.onnx")
onnx.save(model(1), HERE / "batch1.onnx")
onnx.save(slow(), HERE / "slow.onnx")
x = rng.integers(-8, 9, size=(2, 3, SIZE, SIZE)) / 8
(HERE / "tiny.json").write_text(json.dumps({"input": x.ravel().tolist(), "logits": answer(x).ravel().tolist()}) + "\n")
