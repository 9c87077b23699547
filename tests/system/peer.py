"""ONNX Runtime's own post-training quantization, in Q/DQ form with min-max calibration."""

import logging

from onnxruntime import quantization

U8_ASYMMETRIC = (quantization.QuantType.QUInt8, False)
S8_SYMMETRIC = (quantization.QuantType.QInt8, True)


class Batches(quantization.CalibrationDataReader):
    def __init__(self, images):
        self.batches = iter([images[i : i + 10] for i in range(0, len(images), 10)])

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def prepare(model, path):
    """quantize_static's preprocessing; without symbolic shapes, which need SymPy and change nothing here."""
    quantization.quant_pre_process(str(model), str(path), skip_symbolic_shape=True)


def quantize(prepared, path, images, activations, per_channel):
    """Writes the Q/DQ file; activations: U8_ASYMMETRIC or S8_SYMMETRIC."""
    logging.disable(logging.WARNING)  # about vectors, which have one axis only
    kind, symmetric = activations
    quantization.quantize_static(
        str(prepared), str(path), Batches(images), quant_format=quantization.QuantFormat.QDQ, per_channel=per_channel,
        activation_type=kind, weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True})
    logging.disable(logging.NOTSET)
