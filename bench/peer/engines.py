"""One engine in a process of its own, for 'bench engines': the same network and pictures as all others.

    python bench/peer/engines.py prepare ENGINE MODEL.onnx PICTURES SIDE FOLDER   makes the engine's own file, prints its path
    python bench/peer/engines.py serve ENGINE FILE PICTURES SIDE THREADS          loads it and answers

PICTURES is a file of float32 tensors 1×3×SIDE×SIDE, one after the other. 'serve' prints a JSON line when it is loaded and
has run once, reads the number of a picture from each line of stdin and answers with one JSON line (ms, logits); at the
end of stdin it prints its peak memory. Needs what requirements-engines.txt says.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np


def pictures(path, side):
    return np.fromfile(path, np.float32).reshape(-1, 1, 3, side, side)


def input_of(model):
    import onnx
    return onnx.load(model, load_external_data=False).graph.input[0].name


# What 'prepare' makes: each returns the path of the engine's own file.

def ort_static(model, feed, folder):
    """ONNX Runtime's quantize_static as its documentation has it for the CPU: QDQ, U8S8, per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.all = iter([{input_of(model): x} for x in feed])

        def get_next(self):
            return next(self.all, None)

    ready, out = folder / "ort-ready.onnx", folder / "ort-static.onnx"
    quant_pre_process(model, ready, skip_symbolic_shape=True)
    quantize_static(ready, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return out


def nncf_int8(model, feed, folder):
    """NNCF's post-training quantization with the preset for networks that are not all ReLU."""
    import nncf
    import openvino
    network = openvino.Core().read_model(model)
    quantized = nncf.quantize(network, nncf.Dataset(list(feed)), preset=nncf.QuantizationPreset.MIXED,
                              subset_size=len(feed))
    openvino.save_model(quantized, folder / "nncf.xml", compress_to_fp16=False)
    return folder / "nncf.xml"


def ncnn_param(model, feed, folder):
    side = feed.shape[-1]
    here = folder / "ncnn.onnx"
    here.unlink(missing_ok=True)
    here.symlink_to(pathlib.Path(model).resolve())
    subprocess.run([str(pathlib.Path(sys.executable).with_name("pnnx")), here.name, f"inputshape=[1,3,{side},{side}]",
                    "fp16=0"], cwd=folder, check=True, stdout=sys.stderr)
    return folder / "ncnn.ncnn.param"


def mnn_file(model, feed, folder):
    out = folder / "fp32.mnn"
    subprocess.run([str(pathlib.Path(sys.executable).with_name("mnnconvert")), "-f", "ONNX", "--modelFile", str(model),
                    "--MNNModel", str(out), "--bizCode", "bench"], check=True, stdout=sys.stderr)
    return out


PREPARE = {"ort-static": ort_static, "nncf": nncf_int8, "ncnn": ncnn_param, "ncnn-bf16": ncnn_param, "mnn": mnn_file,
           "mnn-low": mnn_file}


# What 'serve' runs: each returns a function from a tensor to the logits.

def ort_run(file, side, threads):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def openvino_run(precision):
    def load(file, side, threads):
        import openvino
        core = openvino.Core()
        network = core.read_model(str(file))
        network.reshape([1, 3, side, side])
        compiled = core.compile_model(network, "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision})
        request = compiled.create_infer_request()
        return lambda x: request.infer([x])[0]
    return load


def ncnn_run(bf16):
    def load(file, side, threads):
        import ncnn
        net = ncnn.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = bf16
        net.load_param(str(file))
        net.load_model(str(file.with_suffix(".bin")))

        def run(x):
            extractor = net.create_extractor()
            extractor.input("in0", ncnn.Mat(x[0]))
            return np.array(extractor.extract("out0")[1])
        return run
    return load


def mnn_run(precision):
    def load(file, side, threads):
        import MNN
        import MNN.expr as F
        runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": precision, "numThread": threads},))
        net = MNN.nn.load_module_from_file(str(file), [], [], runtime_manager=runtime)

        def run(x):
            given = F.const(x, list(x.shape), F.NCHW)
            return F.convert(net.forward([given])[0], F.NCHW).read()
        return run
    return load


SERVE = {"ort": ort_run, "ort-static": ort_run, "openvino": openvino_run("f32"), "openvino-bf16": openvino_run("bf16"),
         "nncf": openvino_run("f32"), "ncnn": ncnn_run(False), "ncnn-bf16": ncnn_run(True), "mnn": mnn_run("high"),
         "mnn-low": mnn_run("low")}


def serve(engine, file, feed, side, threads):
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # engines print
    begin = time.perf_counter()
    run = SERVE[engine](pathlib.Path(file), side, threads)
    run(feed[0])
    print(json.dumps({"load_ms": (time.perf_counter() - begin) * 1e3}), file=say)
    for line in sys.stdin:
        x = np.ascontiguousarray(feed[int(line)])
        begin = time.perf_counter()
        logits = run(x)
        took = (time.perf_counter() - begin) * 1e3
        print(json.dumps({"ms": took, "logits": [float(v) for v in np.asarray(logits, np.float64).ravel()]}), file=say)
    # getrusage's would be the parent's where that had more before this process was made of it
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"peak_mb": int(status["VmHWM"].split()[0]) / 1024}), file=say)


if __name__ == "__main__":
    verb, engine, file, tensors, side, last = sys.argv[1:]
    if verb == "prepare":
        print(PREPARE[engine](file, pictures(tensors, int(side)), pathlib.Path(last)))
    else:
        serve(engine, file, pictures(tensors, int(side)), int(side), int(last))
