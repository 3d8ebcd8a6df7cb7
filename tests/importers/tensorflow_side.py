"""Run by a Python that has TensorFlow: writes models, and computes what TensorFlow makes of an input.

tensorflow_side.py write FOLDER       small.keras, saved/saved_model.pb, frozen.pb, input.npy, output.npy
tensorflow_side.py tflite MODEL FOLDER   input.npy in, output_<name>.npy out, by TensorFlow's own interpreter
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def write(folder: Path) -> None:
    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    image = tf.keras.Input((32, 32, 3), batch_size=1, name="image")
    value = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image)
    value = layers.ReLU(6)(layers.BatchNormalization()(value))
    branch = layers.DepthwiseConv2D(3, padding="same")(value)
    value = layers.MaxPooling2D()(layers.Add()([branch, value]))
    value = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(value))
    model = tf.keras.Model(image, value)
    values = np.random.default_rng(1).random((1, 32, 32, 3), dtype=np.float32)
    np.save(folder / "input.npy", values)
    np.save(folder / "output.npy", model(values).numpy())
    model.save(folder / "small.keras")
    model.export(folder / "saved", verbose=False)
    function = tf.function(model).get_concrete_function(tf.TensorSpec((1, 32, 32, 3), tf.float32, "image"))
    frozen = convert_variables_to_constants_v2(function)
    (folder / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    (folder / "names").write_text(f"{frozen.inputs[0].name} {frozen.outputs[0].name}")


def tflite(model: Path, folder: Path) -> None:
    interpreter = tf.lite.Interpreter(str(model))
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    interpreter.set_tensor(entry["index"], np.load(folder / "input.npy"))
    interpreter.invoke()
    for output in interpreter.get_output_details():
        np.save(folder / f"output_{output['name']}.npy", interpreter.get_tensor(output["index"]))


if __name__ == "__main__":
    globals()[sys.argv[1]](*map(Path, sys.argv[2:]))
